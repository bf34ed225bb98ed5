"""/metrics of the web process has the counts of the whole platform."""

import re
import urllib.request

import pytest

from tests.support.books import Books
from tests.support.http_shop import HttpShop, payment
from tests.support.processes import RECOVERY_SECONDS, Platform
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes

COMPLETED = 'saga_completed_total{definition="payment.create"}'
ATTEMPTS = (
    'saga_step_attempts_total{definition="payment.create",direction="forward",outcome="success",'
    'step="CallPaymentChannel"}'
)


def test_counts_of_the_celery_worker(platform: Platform, shop: HttpShop, books: Books) -> None:
    """The web process gets no outcome. The worker queries the success and completes the saga."""
    active = "SELECT 1 FROM saga_instances WHERE status IN ('pending', 'in_progress') AND NOT needs_attention"
    wait_until(
        lambda: not books.rows(active), RECOVERY_SECONDS + LOADED_SECONDS, "the sagas of earlier tests"
    )
    before = _scrape(platform)
    write = payment("auto_pay,no_webhook,timeout_after")
    assert shop.send(write).status == 202
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    wait_until(
        lambda: _scrape(platform).get(COMPLETED, 0) > before.get(COMPLETED, 0),
        LOADED_SECONDS,
        "the worker's count",
    )
    after = _scrape(platform)
    for name in (COMPLETED, ATTEMPTS):
        assert after[name] - before.get(name, 0) == 1, name


def test_counts_survive_their_process(platform: Platform, shop: HttpShop, books: Books) -> None:
    """The counters of a killed worker stay in the sums."""
    write = payment("auto_pay,no_webhook,timeout_after")
    shop.send(write)
    books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")
    wait_until(lambda: _scrape(platform).get(COMPLETED, 0) > 0, LOADED_SECONDS, "the worker's count")
    before = _scrape(platform)[COMPLETED]
    platform.worker.kill()
    assert _scrape(platform)[COMPLETED] == before


def _scrape(platform: Platform) -> dict[str, float]:
    with urllib.request.urlopen(f"{platform.url}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text = answer.read().decode()
    return {
        name: float(value) for name, value in re.findall(r"^([a-z_]+\{[^}]*\}) (\S+)$", text, re.MULTILINE)
    }
