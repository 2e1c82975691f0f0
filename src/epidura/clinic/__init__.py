"""The clinical pathway of real patients: selection, procedure, verdict, complications."""
