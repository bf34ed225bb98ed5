"""The search of the back office at a million payments: the time of its one statement, and of the whole answer.

Loads payments, orders and sagas by COPY (`benchmarks.office`).
"""

import statistics
import time
import uuid

from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse

from backoffice.search.statements import build_statement
from backoffice.search.terms import parse_term
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.office import SMALL, execute, load
from channels.registry import list_channel_names
from gateway.models import Payment
from merchants import services

BENCHMARK = Benchmark(
    "search",
    "The search of the back office at a million payments: the statement that finds the ids, and the whole request.",
    "Indexes on beginnings of numbers and names, of which each branch of the statement reads a few rows.",
)
TABLES = ("orders", "payments", "saga_instances")


def measure(effort: Effort) -> list[Figure]:
    payments = effort.choose(1_000_000, 2000)
    setup_test_environment()
    settings.LOCAL_STACK = True
    execute("SET statement_timeout = 0")
    execute("SET session_replication_role = replica")
    merchant = services.create_merchant(name="Benchmark", email=f"{uuid.uuid4().hex}@example.com").merchant
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("benchmark-search"))
    load(0, payments, payments, str(merchant.pk), TABLES)
    payment = Payment.objects.get(payment_no=f"PAY-BENCH-{SMALL // 2:09d}")
    terms = (
        payment.payment_no,
        "pay-bench-0005",
        "PAY-",
        payment.order_no,
        "order-77",
        "o",
        payment.channel_trade_no,
        "TRADE-9",
        "buyer-123@",
        "bench",
        str(payment.pk),
        str(payment.pk)[:8],
        "777.77",
        "12.34",
        "USD 108.00",
        "req_0123456789abcdef01234567",
        "nothing has this name",
        "%",
    )
    return [figure for term in terms for figure in _measure_term(browser, term, effort.rounds)]


def _measure_term(browser: Client, typed: str, rounds: int) -> list[Figure]:
    """Five requests for each round."""
    term = parse_term(typed)
    assert term is not None
    sql, parameters = build_statement(term, list_channel_names())
    statements, requests = [], []
    for _round in range(rounds):
        statement, request = [], []
        for _repetition in range(5):
            began = time.perf_counter()
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                cursor.fetchall()
            statement.append((time.perf_counter() - began) * 1000)
            began = time.perf_counter()
            assert browser.get(reverse("admin_find"), {"q": typed, "part": "1"}).status_code == 200
            request.append((time.perf_counter() - began) * 1000)
        statements.append(statistics.median(statement))
        requests.append(statistics.median(request))
    with CaptureQueriesContext(connection) as queries:
        browser.get(reverse("admin_find"), {"q": typed, "part": "1"})
    return [
        median_figure(f"`{typed}`, statement", statements, "ms", aim="below 50"),
        median_figure(f"`{typed}`, request", requests, "ms"),
        Figure(name=f"`{typed}`, queries", value=len(queries), unit="queries"),
    ]
