"""The search of the back office at a million payments: the time of its one statement, and of the whole answer.

    python -m scripts.local.testing python -m benchmarks.search [--payments 1000000] [--rounds 15]

Loads payments, orders and sagas by COPY (`benchmarks.office`), then prints for each term the median and the worst time
of the statement that finds the ids (aim: below 50 ms), the slowest statement of the whole request, and the request.
"""

import argparse
import statistics
import time
import uuid

from benchmarks.office import SMALL, execute, load  # first: it sets Django up

# isort: split
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
from django.urls import reverse

from backoffice.search.statements import build_statement
from backoffice.search.terms import parse_term
from channels.registry import list_channel_names
from gateway.models import Payment
from merchants import services

TABLES = ("orders", "payments", "saga_instances")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--payments", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=15)
    chosen = options.parse_args()
    setup_test_environment()
    settings.LOCAL_STACK = True
    call_command("migrate", verbosity=0)
    execute("SET statement_timeout = 0")
    execute("SET session_replication_role = replica")
    merchant = services.create_merchant(name="Benchmark", email=f"{uuid.uuid4().hex}@example.com").merchant
    browser = Client(headers={"accept-language": "en"})
    browser.force_login(User.objects.create_superuser("benchmark"))
    began = time.monotonic()
    load(0, chosen.payments, chosen.payments, str(merchant.pk), TABLES)
    print(f"{chosen.payments:,} payments: {time.monotonic() - began:.0f} s")
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
    print(f"{'term':<40}{'ids':>9}{'worst':>9}{'slowest':>9}{'request':>9}{'queries':>9}")
    for term in terms:
        _print_times(browser, term, chosen.rounds)


def _print_times(browser: Client, typed: str, rounds: int) -> None:
    term = parse_term(typed)
    assert term is not None
    sql, parameters = build_statement(term, list_channel_names())
    statement, request = [], []
    for _round in range(rounds):
        began = time.perf_counter()
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            cursor.fetchall()
        statement.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        assert browser.get(reverse("admin_find"), {"q": typed, "part": "1"}).status_code == 200
        request.append((time.perf_counter() - began) * 1000)
    with CaptureQueriesContext(connection) as queries:
        browser.get(reverse("admin_find"), {"q": typed, "part": "1"})
    slowest = max(float(query["time"]) for query in queries.captured_queries) * 1000
    print(
        f"{typed:<40}{statistics.median(statement):>6.1f} ms{max(statement):>6.1f} ms{slowest:>6.0f} ms"
        f"{statistics.median(request):>6.0f} ms{len(queries):>9}"
    )


if __name__ == "__main__":
    main()
