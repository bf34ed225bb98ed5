"""The work queue at a million payments with 20,000 items that wait for staff.

Loads payments, orders and sagas by COPY (`benchmarks.office`), then opens reviews and disputes and stops sagas.
"""

import json
import time
import uuid

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse

from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import (
    QueueFilter,
    build_count_statement,
    build_list_statement,
    build_parameters,
)
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.office import execute, load
from merchants import services

BENCHMARK = Benchmark(
    "work_queue",
    "The work queue at a million payments with 20,000 open items: its two statements and the whole page.",
    "The sources without an index in the order of their age, whose open objects are all read and sorted.",
)
TABLES = ("orders", "payments", "saga_instances")
# Of 20 open items: 8 reviews of payments, 2 of refunds, 4 disputes, 5 sagas and 1 overdue payment.
_OPEN_ITEMS = """
WITH chosen AS (
    SELECT *, row_number() OVER (ORDER BY payment_no) AS n FROM payments
    WHERE payment_no LIKE 'PAY-BENCH-%%' AND status <> 'expired' ORDER BY payment_no LIMIT %(items)s
), reviews AS (
    INSERT INTO payment_reviews (id, payment_id, code, subject, text, message, message_values, opened_at, resolution,
        resolved_by)
    SELECT gen_random_uuid(), id, CASE WHEN n %% 20 < 8 THEN 'mismatch' ELSE 'refund_failed' END, '', 'differs', '',
        '{}'::jsonb, created_at, '', '' FROM chosen WHERE n %% 20 < 10
), disputes AS (
    INSERT INTO disputes (id, dispute_no, payment_id, merchant_id, environment, channel, channel_dispute_no,
        amount_minor, currency, reason, channel_reason, stage, status, evidence_due_by, created_at)
    SELECT gen_random_uuid(), 'DSP-BENCH-' || n, id, merchant_id, environment, channel, 'dp_' || n, amount_minor,
        currency, 'fraudulent', '', 'chargeback', 'needs_response',
        now() + make_interval(hours => (n * 7 %% 720)::int), created_at
    FROM chosen WHERE n %% 20 BETWEEN 10 AND 13
), sagas AS (
    UPDATE saga_instances AS saga SET needs_attention = true, status = 'in_progress' FROM chosen
    WHERE saga.business_id = chosen.payment_no AND n %% 20 BETWEEN 14 AND 18
)
UPDATE payments SET status = 'processing', expires_at = payments.created_at + interval '1 hour' FROM chosen
WHERE payments.id = chosen.id AND n %% 20 = 19
"""
_ASSIGNED = """
INSERT INTO work_items (kind, object_id, assignee, snoozed_until, snoozed_at)
SELECT 'payment', id, CASE WHEN random() < 0.5 THEN 'benchmark-queue' ELSE '' END, now() + interval '1 day', now()
FROM payment_reviews WHERE random() < 0.1
"""


def measure(effort: Effort) -> list[Figure]:
    payments, items = effort.choose(1_000_000, 2000), effort.choose(20_000, 200)
    setup_test_environment()
    settings.LOCAL_STACK = True
    execute("SET statement_timeout = 0")
    execute("SET session_replication_role = replica")
    merchant = services.create_merchant(name="Benchmark", email=f"{uuid.uuid4().hex}@example.com").merchant
    load(0, payments, payments, str(merchant.pk), TABLES)
    with connection.cursor() as cursor:
        cursor.execute(_OPEN_ITEMS, {"items": items})
    execute(_ASSIGNED)
    execute("VACUUM ANALYZE payments, payment_reviews, disputes, saga_instances, work_items")
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("benchmark-queue"))
    everything = list(ItemKind)
    filters = {
        "everything": QueueFilter(everything),
        "mine": QueueFilter(everything, assignee="benchmark-queue"),
        "snoozed": QueueFilter(everything, is_snoozed=True),
        "live": QueueFilter(everything, environment="live"),
        "of a merchant": QueueFilter(everything, merchant_id=merchant.pk),
        "disputes": QueueFilter([ItemKind.DISPUTE]),
    }
    figures = [figure for name, chosen in filters.items() for figure in _measure(name, chosen, effort.rounds)]
    return [*figures, *_measure_page(browser, effort.rounds)]


def _measure(name: str, chosen: QueueFilter, rounds: int) -> list[Figure]:
    figures = []
    for what, sql in (("list", build_list_statement(chosen)), ("counts", build_count_statement(chosen))):
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", build_parameters(chosen))
            (answer,) = cursor.fetchone()
            plan = (json.loads(answer) if isinstance(answer, str) else answer)[0]["Plan"]
            times = []
            for _round in range(rounds * 5):
                began = time.perf_counter()
                cursor.execute(sql, build_parameters(chosen))
                cursor.fetchall()
                times.append((time.perf_counter() - began) * 1000)
        figures += [
            median_figure(f"{name}, {what}", times, "ms", aim="below 100"),
            Figure(
                name=f"{name}, {what}, blocks read",
                value=plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
                unit="blocks",
            ),
        ]
    return figures


def _measure_page(browser: Client, rounds: int) -> list[Figure]:
    address, times = reverse("work_queue"), []
    with CaptureQueriesContext(connection) as queries:
        assert browser.get(address).status_code == 200
    count = len(queries)
    for _round in range(rounds * 3):
        began = time.perf_counter()
        browser.get(address)
        times.append((time.perf_counter() - began) * 1000)
    return [
        median_figure("page", times, "ms"),
        Figure(name="page, queries", value=count, unit="queries", aim="below 30"),
    ]
