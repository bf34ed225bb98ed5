"""Reconciliation: compares a channel's own list of payments and refunds with ours, both ways.

- `differences.py`: lists all differences (`manage.py reconcile`); changes nothing
- `comparison.py`: the rules that compare one entry of the channel with our row
- `unreported_refunds.py`: hourly, records refunds that no webhook reported
- `our_rows.py`, `batches.py`: reading both sides

Memory is bounded: both sides are read in batches, and a temporary file keeps the names that the channel has listed.
"""
