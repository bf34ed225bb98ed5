"""Requests of one kind beside a bare view, on the same gateway in the same run."""

from collections.abc import Callable, Sequence

from django.db import connection, connections

from benchmarks.bare import TABLE
from benchmarks.figures import Effort, Figure, median_figure
from benchmarks.load import GatewayProcess, LoadRound
from benchmarks.prepared import PreparedRequest, prepare_bare

CONNECTIONS = 16
BARE_REQUESTS, QUICK_REQUESTS = 6000, 40
BARE = "bare view"


def prepare_bare_view(gateway: GatewayProcess) -> None:
    """Creates the view's table, and lets the gateway load modules and open connections."""
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    gateway.send([prepare_bare()] * 200, connections=CONNECTIONS)


def send_bare(gateway: GatewayProcess, effort: Effort) -> LoadRound:
    requests = [prepare_bare()] * effort.choose(BARE_REQUESTS, QUICK_REQUESTS)
    return gateway.send(requests, connections=CONNECTIONS)


def measure_beside_bare(
    name: str,
    gateway: GatewayProcess,
    effort: Effort,
    prepare: Callable[[], Sequence[PreparedRequest]],
    *,
    aim: str = "",
) -> list[Figure]:
    """Rounds of both alternate, so that other load on the machine affects both."""
    prepare_bare_view(gateway)
    bare, ours = [], []
    for _number in range(effort.rounds):
        bare.append(send_bare(gateway, effort))
        requests = prepare()
        connections.close_all()  # this process is idle while the gateway works
        ours.append(gateway.send(requests, connections=CONNECTIONS))
    base = median_figure(BARE, [each.rate for each in bare], "/s")
    return [
        base,
        median_figure(name, [each.rate for each in ours], "/s", base=base, aim=aim),
        *describe_rounds(name, ours),
    ]


def describe_rounds(name: str, rounds: Sequence[LoadRound]) -> list[Figure]:
    """Latencies and CPU of one kind of request."""
    return [
        median_figure(f"{name}, p50", [each.p50_ms for each in rounds], "ms"),
        median_figure(f"{name}, p99", [each.p99_ms for each in rounds], "ms"),
        median_figure(f"{name}, CPU of the gateway", [each.cpu_ms.web for each in rounds], "ms"),
        median_figure(f"{name}, CPU of PostgreSQL", [each.cpu_ms.postgresql for each in rounds], "ms"),
        median_figure(f"{name}, CPU of Redis", [each.cpu_ms.redis for each in rounds], "ms"),
        median_figure(f"{name}, CPU of the client", [each.cpu_ms.client for each in rounds], "ms"),
    ]
