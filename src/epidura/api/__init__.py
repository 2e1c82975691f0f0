"""REST over the clinical record."""
