"""Applies channel updates: what a channel reports about a payment, refund or dispute, by webhook, query or listing.

- `payments.py`: what each reported state of a payment does; which card paid it
- `refunds.py`: a reported refund, known or not; `refund_outcomes.py`: what each reported state of a known refund does
- `dashboard_refunds.py`: a refund that was made at the channel, in Stripe's dashboard for example
- `disputes.py`: a dispute
- `references.py`: which payment an update is about, and whether its source may change that payment

Each update is applied in one plain transaction, which touches our own tables only. While a saga works on the same
payment or refund, the saga is woken instead: it queries the channel itself.
"""
