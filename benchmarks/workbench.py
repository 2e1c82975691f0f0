"""What a person waits for in the workbench, in a real Chromium: ``python -m benchmarks.workbench plan`` prints it.

Each section is a module ``benchmarks/workbench_NAME.py`` with ``measure()``, which gives (what, value, unit) rows. The load of the machine is
printed beside them: without a graphics processor the browser draws on the processor, so figures of a busy machine mean little.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "web"))


def main(names: list[str]) -> None:
    known = sorted(path.stem.removeprefix("workbench_") for path in Path(__file__).parent.glob("workbench_*.py"))
    for name in names or known:
        if name not in known:
            raise SystemExit(f"{name}: there is no such section; allowed: {', '.join(known)}")
        rows = importlib.import_module(f"benchmarks.workbench_{name}").measure()
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"\n{name}: {os.cpu_count()} cores, load {load}\n\n| what | value |\n|---|---|")
        for what, value, unit in rows:
            print(f"| {what} | {value:,.4g} {unit} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
