"""Parameters and people of the tests of stages and costs: near the fitted ones, and fixed."""

from __future__ import annotations

from epidura.evidence.model import Arm

P = {"return level": 5.7, "persistence": 0.67, "refractory": 0.45, "spread": 1.35, "error": 1.5, "context": 0.55, "blinded": 0.68, "novelty": 0.5,
     "trial boost": 3.2, "lasting": 0.68, "fading": 5.5, "context spread": 0.77, "neural spread": 1.05, "neural tonic": 0.2,
     "neural high-frequency": 1.2, "loss rate": 0.105, "loss shape": 0.62, "explant after loss": 0.5, "other explants": 0.023, "revision rate": 0.18}
ARM = Arm("", "", "tonic", "tonic", "open", False, "randomised", 7.47, 1.3, 4.0)  # people of TRIAL-STIM
