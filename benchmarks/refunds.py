"""Refunds a second, each of a part of a paid payment."""

import itertools

from benchmarks.beside_bare import QUICK_REQUESTS, measure_beside_bare
from benchmarks.figures import Benchmark, Effort, Figure
from benchmarks.load import start_gateway
from benchmarks.prepared import PreparedRequest, create_key, create_paid_payment, prepare_refund

BENCHMARK = Benchmark(
    "refunds",
    "Signed `POST /refunds` of parts of 100 paid payments, beside a bare view.",
    "CPU of the gateway: a refund is a saga of its own, whose payment is locked.",
)
PAYMENTS, AMOUNT = 100, 5


def measure(effort: Effort) -> list[Figure]:
    key = create_key()
    count = effort.choose(800, QUICK_REQUESTS)
    payments = [create_paid_payment(key) for _ in range(min(PAYMENTS, count))]
    numbers = itertools.cycle(payment["payment_no"] for payment in payments)

    def prepare() -> list[PreparedRequest]:
        return [prepare_refund(key, next(numbers), AMOUNT) for _ in range(count)]

    with start_gateway() as gateway:
        return measure_beside_bare("POST /refunds", gateway, effort, prepare)
