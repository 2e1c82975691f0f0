"""REST over the clinical record. ``create_app`` makes it; docs/api.md says how it is used."""

from epidura.api.app import create_app

__all__ = ["create_app"]
