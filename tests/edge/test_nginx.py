"""The edge of docker-compose.yml: a real nginx with our configuration, before a real gateway, under attack."""

import statistics
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from scripts.local.config import ROOT
from tests.edge.conftest import ATTACKERS, ATTACKING, BIG, HealthyCustomers
from tests.edge.smuggling import SMUGGLED, count_answers
from tests.support.nginx import run_edge
from tests.support.slow_clients import Attack, Kind
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.stack

TEMPLATE = ROOT / "deploy" / "nginx" / "edge.conf.template"


@pytest.fixture(scope="module")
def edge(gateway: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the edge."""
    with run_edge(tmp_path_factory.mktemp("nginx"), {"edge.conf": TEMPLATE.read_text()}, gateway) as port:
        yield port


def test_healthy_requests_are_answered_throughout(edge: int) -> None:
    attack = Attack(edge, count=ATTACKERS, kinds=list(Kind), big=BIG, sources=ATTACKING)
    with attack, HealthyCustomers(edge) as customers:
        wait_until(lambda: len(customers.seconds) >= 50, PATIENCE_SECONDS, "fifty answers")
    assert customers.failures == []
    assert statistics.median(customers.seconds) < 5, sorted(customers.seconds)[-5:]


def test_connections_per_address_are_limited(edge: int) -> None:
    """Connections above the limit are answered before their bodies have arrived."""
    attack = Attack(edge, count=80, kinds=[Kind.DRIPPING_BODY], big=BIG, sources=["127.0.2.1"])
    with attack:
        wait_until(lambda: len(attack.answered) == 80 - 50, PATIENCE_SECONDS, "refusals")


def test_metrics_are_not_public(edge: int) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{edge}/metrics", timeout=PATIENCE_SECONDS)


def test_a_smuggled_request_does_not_reach_the_gateway(edge: int, subtests: pytest.Subtests) -> None:
    """nginx and the gateway see the same end of each request, or one of them refuses it."""
    for name, sent in SMUGGLED.items():
        with subtests.test(name):
            answers, received = count_answers(edge, sent)
            assert answers == 1, received
            assert b" 200 " not in received
