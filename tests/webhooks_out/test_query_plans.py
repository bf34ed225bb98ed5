"""Claim, fan-out and relay read due rows through the partial indexes. They read neither the history nor a long backlog.

Statistics are fresh, and no kind of scan is switched off.
"""

import datetime as dt

import pytest
from django.db import connection
from django.db.models.functions import Now

from common.api.pagination import filter_created_range, load_page
from common.clock import database_now
from common.crypto import seal
from events import relay
from events.models import OutboxEvent
from merchants.services import NewMerchant
from monitoring.lag import LAGS
from tests.support.plans import looked_at, require_no_table_is_read_through, scans
from webhooks import claims, fanout
from webhooks.models import Lane, WebhookEndpoint
from webhooks.signing import new_secret

pytestmark = pytest.mark.django_db(transaction=True)

ENDPOINTS, FINISHED, BACKLOG = 20, 20_000, 2_000

# There is one event for each minute, up to now.
_EVENTS = """
INSERT INTO outbox_events (event_id, created_at, type, ordering_key, merchant_id, environment, subject_id, data,
                           trace_context, published_at, fanned_out_at)
SELECT uuidv7(happened - clock_timestamp()), happened, 'payment.created', 'PAY-' || n,
       %(merchant)s, 'test', gen_random_uuid(), '{}', '{}',
       CASE WHEN n <= %(finished)s THEN now() END, CASE WHEN n <= %(finished)s THEN now() END
FROM generate_series(1, %(finished)s + %(backlog)s) AS n
CROSS JOIN LATERAL (SELECT now() - (%(finished)s + %(backlog)s - n) * interval '1 minute' AS happened) AS at
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
    found = scans(claims.CLAIM_SQL, claims.claim_parameters(lane=Lane.FAST, places=64, lease_seconds=60))
    deliveries = [node for node in found if node["Relation Name"] == "webhook_deliveries"]
    require_no_table_is_read_through(deliveries)
    assert "webhook_delivery_turn" in {node.get("Index Name") for node in deliveries}
    limit = claims.MAX_CALLS_IN_FLIGHT[Lane.FAST]
    claimed = limit + ENDPOINTS - 1
    # One probe for each endpoint, the first few rows of each, and each claimed row again for its lock and update.
    assert looked_at(found, "webhook_deliveries") <= 2 * ENDPOINTS + ENDPOINTS * limit + 2 * claimed
    assert len(claims.claim_deliveries(lane=Lane.FAST, places=64)) == claimed, (
        "the plan above is that of a successful claim"
    )


@pytest.mark.parametrize(
    ("statement", "index"),
    [(relay.UNPUBLISHED, "outbox_undelivered"), (fanout.CLAIM_EVENTS, "outbox_not_fanned_out")],
    ids=["relay", "fan-out"],
)
def test_the_outbox_is_read_by_its_partial_indexes(history: None, statement: str, index: str) -> None:
    found = scans(statement, [500])
    require_no_table_is_read_through(found)
    assert {node.get("Index Name") for node in found} == {index}
    assert looked_at(found, "outbox_events") == 500


def test_the_lag_query_skips_the_backlog_of_a_disabled_endpoint(history: None) -> None:
    """Most due deliveries belong to that endpoint, and none of them counts as late."""
    idle = WebhookEndpoint.objects.order_by("url").first()
    WebhookEndpoint.objects.filter(pk=idle.pk).update(
        status="disabled", disabled_reason="failing", disabled_at=Now()
    )
    found = scans(LAGS["webhooks"], {"most": 10_000})
    deliveries = [node for node in found if node["Relation Name"] == "webhook_deliveries"]
    require_no_table_is_read_through(deliveries)
    # One probe for each endpoint to find the next one, and one for the rows of each enabled endpoint.
    assert looked_at(found, "webhook_deliveries") <= 2 * ENDPOINTS
    with connection.cursor() as cursor:
        cursor.execute(LAGS["webhooks"], {"most": 10_000})
        assert cursor.fetchone()[0] == ENDPOINTS - 1, "the plan above is that of a query that found rows"


def test_a_poll_for_the_last_minutes_reads_no_history(history: None, acme: NewMerchant) -> None:
    """The page has a hundred rows, and a dozen events match."""
    mine = OutboxEvent.objects.filter(merchant_id=acme.merchant.pk, environment="test")
    since = {"created_from": database_now() - dt.timedelta(minutes=12)}
    recent = filter_created_range(mine, since)
    assert 10 <= len(load_page(recent, cursor=None, limit=100, key="event_id").rows) <= 12
    statement, values = recent.order_by("-created_at", "-event_id")[:101].query.sql_with_params()
    found = scans(statement, values)
    require_no_table_is_read_through(found)
    assert looked_at(found, "outbox_events") <= 12
