"""The back office with a long history: each page with a thousand payments and with a million.

Loads payments with their orders, sagas and five steps each by COPY.
"""

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse

from backoffice.dashboard import aggregation
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from gateway.models import Payment
from merchants import services
from sagas.models import SagaInstance

BENCHMARK = Benchmark(
    "office",
    "Each page of the back office with 1,000 payments and with a million and their five million saga steps.",
    "Python that draws a page, which depends on its rows, and indexes whose order is that of the list.",
)

SMALL, STEPS, CHUNK = 1000, 5, 20_000
DAYS = 60
STATUSES = ("succeeded",) * 8 + ("failed", "expired")
NOW = dt.datetime.now(dt.UTC)
COLUMNS = {
    "orders": "id, order_no, merchant_id, environment, amount_minor, currency, status, subject, metadata,"
    " created_at, updated_at",
    "payments": "id, payment_no, merchant_id, environment, order_id, order_no, amount_minor, currency, status, channel,"
    " sandbox, capture_method, subject, body, callback_url, return_url, customer, metadata, channel_trade_no,"
    " payment_url, captured_minor, refunded_minor, refund_pending_minor, failure_code, failure_message,"
    " needs_attention, attention_reason, check_count, expires_at, created_at, updated_at",
    "saga_instances": "id, business_id, business_type, definition, definition_version, status, direction, past_pivot,"
    " current_step, error_code, error_message, metadata, lease_owner, fence, revision, claims_without_progress,"
    " deadline_at, needs_attention, attention_reason, trace_context, created_at, updated_at",
    "saga_steps": "id, saga_id, step_order, step_name, status, in_doubt, compensating, result, error_message,"
    " retry_count, max_retry_count, created_at, updated_at",
}


def measure(effort: Effort) -> list[Figure]:
    payments, requests = effort.choose(1_000_000, 4000), 3 * effort.rounds
    setup_test_environment()  # so that answers tell their context
    settings.LOCAL_STACK = True
    execute("SET statement_timeout = 0")
    execute("SET session_replication_role = replica")  # no foreign keys, no triggers: it is a benchmark
    merchant = services.create_merchant(name="Benchmark", email=f"{uuid.uuid4().hex}@example.com").merchant
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("benchmark"))
    load(0, SMALL, payments, str(merchant.pk))
    small = _measure(browser, requests)
    load(SMALL, payments, payments, str(merchant.pk))
    large = _measure(browser, requests)
    figures = []
    for page, (before, _queries) in small.items():
        after, queries = large[page]
        base = median_figure(f"{page}, {SMALL:,} payments", before, "ms")
        name = f"{page}, {payments:,} payments"
        figures += [
            base,
            median_figure(name, after, "ms", base=base, aim="below 2"),
            Figure(name=f"{page}, queries", value=queries, unit="queries", aim="below 30"),
        ]
    return figures


def load(first: int, last: int, total: int, merchant: str, tables: Sequence[str] = tuple(COLUMNS)) -> None:
    """The newest are loaded first, so that both sizes have the same recent past."""
    for start in range(first, last, CHUNK):
        numbers = range(start, min(start + CHUNK, last))
        rows = {table: "".join(_lines(table, numbers, total, merchant)) for table in tables}
        connection.ensure_connection()
        with connection.connection.cursor() as cursor:
            for table, text in rows.items():
                with cursor.copy(f"COPY {table} ({COLUMNS[table]}) FROM STDIN") as copy:
                    copy.write(text)
    execute(f"VACUUM ANALYZE {', '.join(tables)}")
    aggregation.aggregate_hours()


def _lines(table: str, numbers: range, total: int, merchant: str) -> Iterator[str]:
    for n in numbers:
        at = NOW - dt.timedelta(days=DAYS) * (n / total)
        # As `uuid7` makes them: in the order of time.
        stem = f"{int(at.timestamp() * 1000):012x}7"
        pk = str(uuid.UUID(f"{stem}{n:019x}"))
        no, status = f"PAY-BENCH-{n:09d}", STATUSES[n % len(STATUSES)]
        amount = 77_777 if n == 7 else 1_000 + n % 50_000  # once in both sizes
        late = "t" if n % 10_000 == 7 or (n < SMALL and n % 20 == 7) else "f"  # a full page of both sizes
        match table:
            case "orders":
                paid = "paid" if status == "succeeded" else "cancelled"
                yield f"{pk}\tORDER-{n}\t{merchant}\ttest\t{amount}\tUSD\t{paid}\tCoffee\t{{}}\t{at}\t{at}\n"
            case "payments":
                captured = amount if status == "succeeded" else 0
                yield (
                    f"{pk}\t{no}\t{merchant}\ttest\t{pk}\tORDER-{n}\t{amount}\tUSD\t{status}\tsimulator\tf\tautomatic\t"
                    f'Coffee\t\t\t\t{{"email": "buyer-{n}@example.com"}}\t{{}}\t'
                    f"trade-{n}\t\t{captured}\t0\t0\t\t\t{late}\t\t0\t{at}\t{at}\t{at}\n"
                )
            case "saga_instances":
                yield (
                    f"{pk}\t{no}\tpayment\tbenchmark.office\t1\tcompleted\tforward\tf\t5\t\t\t"
                    f'{{"channel": "simulator", "amount_minor": {amount}, "currency": "USD"}}\t\t2\t3\t0\t'
                    f"{at}\t{late}\t\t{{}}\t{at}\t{at}\n"
                )
            case "saga_steps":
                for step in range(1, STEPS + 1):
                    step_id = uuid.UUID(f"{stem}{step:x}{n:018x}")
                    yield f"{step_id}\t{pk}\t{step}\tstep{step}\tcompleted\tf\tf\t{{}}\t\t0\t3\t{at}\t{at}\n"


def _measure(browser: Client, rounds: int) -> dict[str, tuple[list[float], int]]:
    """Milliseconds (the first request warms up) and queries of each page."""
    payment = Payment.objects.get(payment_no="PAY-BENCH-000000500")
    saga = SagaInstance.objects.get(pk=payment.pk)
    payments, sagas = (
        reverse(f"admin:{name}_changelist") for name in ("gateway_payment", "sagas_sagainstance")
    )
    second = browser.get(payments).context["cl"].older_url
    find = reverse("admin_find")
    pages = {
        "dashboard 24 h": reverse("admin:index"),
        "dashboard 30 d": reverse("admin:index") + "?range=30d",
        "payments": payments,
        "payments, second page": payments + second,
        "payments that failed": f"{payments}?status__exact=failed",
        "payments of a channel": f"{payments}?channel=simulator",
        "payments in review": f"{payments}?needs_attention__exact=1",
        # Amounts that both sizes have a full page of: an empty page is drawn faster than a full one.
        "payments, amount and time": f"{payments}?currency=USD&amount_from=10&created_from={NOW:%Y-%m-%d}",
        "payments of one amount": f"{payments}?amount_from=777.77&amount_to=777.77",
        "payments of a rare currency": f"{payments}?currency=JPY",
        "payments, stuck": f"{payments}?stuck=yes",
        "refunds": reverse("admin:gateway_refund_changelist"),
        "orders": reverse("admin:orders_order_changelist"),
        "sagas": sagas,
        "sagas in review": f"{sagas}?needs_attention__exact=1",
        "saga steps": reverse("admin:sagas_sagastep_changelist"),
        "payment": reverse("admin:gateway_payment_change", args=[payment.pk]),
        "saga": reverse("admin:sagas_sagainstance_change", args=[saga.pk]),
        "find by payment number": f"{find}?q={payment.payment_no}",
        "find by order number": f"{find}?q={payment.order_no}",
        "find by channel's number": f"{find}?q={payment.channel_trade_no}",
    }
    return {page: _timed(lambda: browser.get(address), rounds) for page, address in pages.items()}  # noqa: B023


def _timed(call: Callable[[], Any], rounds: int) -> tuple[list[float], int]:
    with CaptureQueriesContext(connection) as queries:
        assert call().status_code in (200, 302)
    count = len(queries)  # before the next request forgets them
    times = []
    for _round in range(rounds):
        began = time.perf_counter()
        call()
        times.append((time.perf_counter() - began) * 1000)
    return times, count


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
