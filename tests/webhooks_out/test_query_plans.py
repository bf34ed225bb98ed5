"""Claim, fan-out and relay read what is due, through the partial indexes, and neither the history nor a long backlog.

Statistics are fresh, and the planner is left free.
"""

import pytest
from django.db import connection

from common.crypto import seal
from events import relay
from events.webhooks import claims, fanout
from events.webhooks.models import Lane, WebhookEndpoint
from events.webhooks.signing import new_secret
from merchants.services import NewMerchant
from tests.support.plans import looked_at, require_no_table_is_read_through, scans

pytestmark = pytest.mark.django_db(transaction=True)

ENDPOINTS, FINISHED, BACKLOG = 20, 20_000, 2_000

_EVENTS = """
INSERT INTO outbox_events (event_id, type, ordering_key, merchant_id, environment, subject_id, data, trace_context,
                           published_at, fanned_out_at)
SELECT gen_random_uuid(), 'payment.created', 'PAY-' || n, %(merchant)s, 'test', gen_random_uuid(), '{}', '{}',
       CASE WHEN n <= %(finished)s THEN now() END, CASE WHEN n <= %(finished)s THEN now() END
FROM generate_series(1, %(finished)s + %(backlog)s) AS n
"""
# The first endpoint has the whole backlog; each of the others has one that is due.
_DELIVERIES = """
INSERT INTO webhook_deliveries (id, event_id, endpoint_id, merchant_id, environment, callback_url, status, due_at,
                                fence, attempt_count, last_outcome)
SELECT gen_random_uuid(), event.id, %(endpoint)s, %(merchant)s, 'test', '', told.status,
       CASE told.status WHEN 'pending' THEN now() END, 1, 1, ''
FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM outbox_events) AS event
CROSS JOIN LATERAL (SELECT CASE WHEN event.n <= %(pending)s THEN 'pending' ELSE 'delivered' END AS status) AS told
WHERE event.n <= %(count)s
"""


@pytest.fixture
def history(acme: NewMerchant) -> None:
    made = WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(
            merchant=acme.merchant,
            environment="test",
            url=f"http://127.0.0.1:9/{number}",
            sealed_secret=seal(new_secret()),
        )
        for number in range(ENDPOINTS)
    )
    merchant = acme.merchant.pk
    with connection.cursor() as cursor:
        cursor.execute(_EVENTS, {"merchant": merchant, "finished": FINISHED, "backlog": BACKLOG})
        for number, endpoint in enumerate(made):
            count, pending = FINISHED // ENDPOINTS, 1
            if number == 0:
                count, pending = BACKLOG + count, BACKLOG
            values = {"endpoint": endpoint.pk, "merchant": merchant, "count": count, "pending": pending}
            cursor.execute(_DELIVERIES, values)
        cursor.execute("ANALYZE outbox_events, webhook_deliveries, webhook_endpoints")


def test_a_claim_reads_a_few_of_each_endpoint(history: None) -> None:
    found = scans(claims.CLAIM, claims.values_of(lane=Lane.FAST, places=64, lease_seconds=60))
    deliveries = [node for node in found if node["Relation Name"] == "webhook_deliveries"]
    require_no_table_is_read_through(deliveries)
    assert "webhook_delivery_turn" in {node.get("Index Name") for node in deliveries}
    limit = claims.LIMITS[Lane.FAST]
    claimed = limit + ENDPOINTS - 1
    # One look at each endpoint, the first few of each, and each claimed one again to be locked and updated.
    assert looked_at(found, "webhook_deliveries") <= 2 * ENDPOINTS + ENDPOINTS * limit + 2 * claimed
    assert len(claims.claim(lane=Lane.FAST, places=64)) == claimed, (
        "the plan above is that of a claim that worked"
    )


@pytest.mark.parametrize(
    ("statement", "index"),
    [(relay.UNPUBLISHED, "outbox_undelivered"), (fanout.TAKE, "outbox_not_fanned_out")],
    ids=["relay", "fan-out"],
)
def test_the_outbox_is_read_through_what_is_left_of_it(history: None, statement: str, index: str) -> None:
    found = scans(statement, [500])
    require_no_table_is_read_through(found)
    assert {node.get("Index Name") for node in found} == {index}
    assert looked_at(found, "outbox_events") == 500
