"""After a restore of the database to an earlier moment: finds what channels did since then, and adopts it (ADR 53).

- `lost_payments.py`: a payment that the channel lists and that we do not know gets its rows
- `lost_attempts.py`: the same for a further attempt of a payment that we know
- `known_payments.py`: a payment that we know in an older state is updated
- `origins.py`: whose payment it is
- `since_restore.py`: compares the lists of all channels (`manage.py reconcile --since-restore`)

A refund with our number that we do not know is adopted wherever a channel reports it
(`gateway/services/channel_updates/dashboard_refunds.py`).
"""
