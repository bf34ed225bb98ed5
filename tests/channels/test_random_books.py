"""Random schedules over all channels: merchants, customers, banks, channels and staff act at random at the simulator,
Stripe, PayPal, WeChat Pay and Alipay, while days pass and the process dies at crash points. At the end every day has
its statement and every case is decided. Then payments, ledger, statements and banks must agree to the cent, by the
integrity checks and by the test's own computation (`tests/channels/random_books/oracle.py`).

    ./scripts/test.sh tests/channels/test_random_books.py --long      many more seeds
"""

import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from monitoring.integrity.search import SETTLED, find_all_violations
from tests.channels.alipay_harness import AlipayHarness
from tests.channels.harness import SimulatorHarness, StripeHarness
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.random_books.oracle import find_differences
from tests.channels.random_books.world import World
from tests.channels.wechat_harness import WechatHarness
from tests.support.alipay.bank import AlipayBank
from tests.support.paypal.fake import FakePayPal
from tests.support.stripe.fake import FakeStripe

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
    pytest.mark.usefixtures("_no_connection_in_calls"),
]

SEEDS, LONG_SEEDS = 2, 60
STEPS, LONG_STEPS = 40, 120


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    count = LONG_SEEDS if metafunc.config.getoption("--long", False) else SEEDS
    metafunc.parametrize("seed", range(1, count + 1))


def test_all_books_agree(
    fake: FakeStripe,
    alipay: AlipayBank,
    paypal: FakePayPal,
    wechat: Callable[[str], WechatHarness],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    harnesses: list[Any] = [
        SimulatorHarness(),
        SimulatorHarness("simulator_approval"),
        StripeHarness(fake, saved_card=False),
        StripeHarness(fake, saved_card=True),
        wechat("wechat_native"),
        AlipayHarness(alipay, monkeypatch, "alipay_qr"),
        PayPalHarness(paypal),
    ]
    world = World(random.Random(seed), monkeypatch, harnesses)
    world.prepare()
    world.run(LONG_STEPS if pytestconfig.getoption("--long", False) else STEPS)
    world.finish_all_work()
    record_property("schedule", world.describe())
    wrong = [*find_differences(world), *find_violations()]
    assert not wrong, "\n".join([*wrong, ", ".join(world.history)])


def find_violations() -> list[str]:
    """Returns the violations of all integrity checks. No work may be unfinished, except events, as no relay runs."""
    with connection.cursor() as cursor:
        return [str(each) for each in find_all_violations(cursor, grace=SETTLED, skip=["outbox_drained"])]
