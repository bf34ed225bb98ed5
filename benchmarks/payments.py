"""Payments a second: beside a bare view, and through a channel that takes 500 ms beside one that answers at once.

The slow channel is the simulator with the fault `slow`.
"""

from benchmarks.beside_bare import (
    BARE,
    CONNECTIONS,
    QUICK_REQUESTS,
    describe_rounds,
    prepare_bare_view,
    send_bare,
)
from benchmarks.figures import Benchmark, Effort, Figure, median_figure
from benchmarks.load import LoadRound, start_gateway
from benchmarks.prepared import create_key, prepare_payment

BENCHMARK = Benchmark(
    "payments",
    "Signed `POST /payments` to two gateway processes: 16 connections beside a bare view, and 256 connections through"
    " an instant channel and one that takes 500 ms.",
    "CPU: the gateway, PostgreSQL, Redis and the client share the cores (see the model).",
)
MANY_CONNECTIONS = 256
SLOW = "slow:0.5*always"
INSTANT = "POST /payments"
INSTANT_MANY = f"POST /payments, {MANY_CONNECTIONS} connections"
SLOW_MANY = f"POST /payments, channel of 500 ms, {MANY_CONNECTIONS} connections"


def measure(effort: Effort) -> list[Figure]:
    key = create_key()
    count = effort.choose(1500, QUICK_REQUESTS)
    bare: list[LoadRound] = []
    rounds: dict[str, list[LoadRound]] = {INSTANT: [], INSTANT_MANY: [], SLOW_MANY: []}
    with start_gateway() as gateway:
        prepare_bare_view(gateway)
        gateway.send([prepare_payment(key) for _ in range(64)], connections=64)
        for _number in range(effort.rounds):
            bare.append(send_bare(gateway, effort))
            for name, connections, script in (
                (INSTANT, CONNECTIONS, ""),
                (INSTANT_MANY, MANY_CONNECTIONS, ""),
                (SLOW_MANY, MANY_CONNECTIONS, SLOW),
            ):
                requests = [prepare_payment(key, simulate=script) for _ in range(count)]
                found = gateway.send(requests, connections=connections, all_must_succeed=name == INSTANT)
                rounds[name].append(found)
    base = median_figure(BARE, [each.rate for each in bare], "/s")
    rates = {name: [each.rate for each in found] for name, found in rounds.items()}
    instant_many = median_figure(INSTANT_MANY, rates[INSTANT_MANY], "/s")
    return [
        base,
        median_figure(f"{BARE}, CPU of the gateway", [each.cpu_ms.web for each in bare], "ms"),
        median_figure(f"{BARE}, CPU of the client", [each.cpu_ms.client for each in bare], "ms"),
        median_figure(INSTANT, rates[INSTANT], "/s", base=base, aim="at least 0.30"),
        *describe_rounds(INSTANT, rounds[INSTANT]),
        instant_many,
        median_figure(SLOW_MANY, rates[SLOW_MANY], "/s", base=instant_many, aim="at least 0.90"),
        *[
            figure
            for name in (INSTANT_MANY, SLOW_MANY)
            for figure in _describe_many(name, rounds[name], count)
        ],
    ]


def _describe_many(name: str, rounds: list[LoadRound], count: int) -> list[Figure]:
    pages = [each.with_page * 100 / count for each in rounds]
    return [
        median_figure(f"{name}, answers with a payment page", pages, "%", aim="at least 100"),
        median_figure(f"{name}, p99", [each.p99_ms for each in rounds], "ms"),
        median_figure(f"{name}, memory", [each.memory_mb for each in rounds], "MB", aim="below 400"),
    ]
