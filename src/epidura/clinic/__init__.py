"""The clinical pathway: a record of real patients from referral to explant.

What happens is an event (``events``). ``pathway`` says which event may follow which, and folds events into the state of a patient.
``store`` keeps the events, append-only and chained; ``record`` is what a face calls.
"""
