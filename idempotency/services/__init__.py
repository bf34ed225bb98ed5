"""Idempotent writes: each happens once, also when requests are repeated, answers are lost and processes are killed.

The life of a key, in the order of its modules:

    claim.py          Claim          the write that this request performs under its key
    claim_key.py      claim_key()    one transaction: the key, and the rows that `begin` writes
    finish_claim.py   finish_claim() the rest of the write, up to the final answer
    replay.py         find_replay()  the stored answer, for a repetition of the request

Recovery points of a keyed write:

    nothing     the claiming transaction never committed: a repetition starts afresh
    in_flight   claim and business rows committed together: a repetition is refused until the lease expires, then
                resumes with the same `resource_id`
    completed   the answer committed with the rows that made it true: a repetition gets the same bytes
"""
