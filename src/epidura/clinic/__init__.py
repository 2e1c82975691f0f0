"""The clinic: what is kept of real patients and how it is scored."""
