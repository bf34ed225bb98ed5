"""Answers to disputes at Stripe: prepares one, and checks our records and Stripe's afterwards."""

import base64
import itertools

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Reply, Write, payment

TEXTS = {"product_description": "tea"}
FILE_FIELDS = ("customer_communication", "receipt")
_PNG = b"\x89PNG\r\n\x1a\n"
# Each file has a size of its own, by which Stripe's files are counted.
_sizes = itertools.count(100)


def prepare_answer(shop: HttpShop) -> Write:
    """A disputed payment, and the draft of an answer with two files."""
    opened = shop.repeat_until_final(payment(channel="stripe"), 0).data
    shop.stripe_customers.pay(opened["channel_trade_no"])
    sync = Write(f"/api/v1/payments/{opened['payment_no']}/sync", {})
    assert shop.repeat_until_final(sync, 0).data["status"] == "succeeded"
    shop.stripe_customers.open_dispute(opened["channel_trade_no"])
    (dispute,) = shop.get(f"/api/v1/disputes?payment_no={opened['payment_no']}").data["items"]
    path = f"/api/v1/disputes/{dispute['dispute_no']}"
    drafts = [Write(f"{path}/evidence", {"texts": TEXTS})]
    for field in FILE_FIELDS:
        content = base64.b64encode(_PNG.ljust(next(_sizes), b"x")).decode()
        drafts.append(Write(f"{path}/evidence/files", {"field": field, "name": "a.png", "content": content}))
    for draft in drafts:
        assert shop.repeat_until_final(draft, 0).data["status"] == "draft"
    return Write(f"{path}/submit", {})


def verify_answer(books: Books, write: Write, reply: Reply) -> None:
    responses = books.rows(
        "SELECT r.kind, r.status FROM dispute_responses r JOIN disputes d ON d.id = r.dispute_id"
        " WHERE d.dispute_no = %s",
        write.path.split("/")[-2],
    )
    assert responses == [{"kind": "evidence", "status": "submitted"}]
    assert (reply.status, reply.data["status"]) == (200, "submitted")


def verify_answer_at_stripe(shop: HttpShop, reply: Reply) -> None:
    """Requires one submission with files that were uploaded once."""
    dispute = shop.get(f"/api/v1/disputes/{reply.data['dispute_no']}").data
    at_stripe = shop.stripe_customers.get_dispute(dispute["channel_dispute_no"])
    assert at_stripe["evidence_details"]["submission_count"] == 1
    assert {name: at_stripe["evidence"][name] for name in TEXTS} == TEXTS
    assert [file["field"] for file in reply.data["files"]] == list(FILE_FIELDS)
    assert all(at_stripe["evidence"][field] for field in FILE_FIELDS)
    assert [shop.stripe_customers.count_files(file["size"]) for file in reply.data["files"]] == [1, 1]
