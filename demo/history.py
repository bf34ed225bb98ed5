"""`seed_demo --payments N`: a month of payments, made by the real services and moved into the past.

Order numbers are fixed, so that a second run adds only what is missing. A run that was killed leaves at most one batch
of payments that were not moved.
"""

import datetime as dt
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q

from backoffice.dashboard import aggregation
from common.ids import uuid7
from common.money import EXPONENTS
from demo.scenarios import SCENARIOS, Scenario
from demo.shop import DemoShop, Sale, finish_sagas
from demo.staff_actions import perform_staff_actions
from demo.time_shift import move_into_past
from demo.webhook_receiver import deliver_webhooks, webhook_receiver
from events import relay
from events.models import OutboxEvent
from events.sinks.configured import configured_sinks
from gateway.models import Payment
from ledger import balances, closes
from merchants.errors import EmailTaken
from merchants.models import Environment, Merchant
from merchants.principal import Principal
from merchants.scopes import ALL_SCOPES
from merchants.services import create_merchant
from monitoring.services import run_checks
from staff.roles import Role
from webhooks import fanout

SPREAD = dt.timedelta(days=24)  # sagas are kept for 30 days, and a scenario takes up to five
MIN_AGE = dt.timedelta(hours=1)  # of a payment that is not open
BATCH = 25
PUBLISH_SECONDS = 30.0
FAULT_AMOUNTS = range(9901, 9924)  # the simulator injects a fault for these last four digits


@dataclass(frozen=True, slots=True)
class DemoMerchant:
    email: str
    name: str
    currencies: tuple[str, ...]
    goods: tuple[str, ...]
    amounts: tuple[int, int]  # in major units


MERCHANTS = (
    DemoMerchant("books@demo.example", "Acme Books", ("USD", "EUR"), ("Two novels", "An atlas"), (8, 90)),
    DemoMerchant("tea@demo.example", "云山茶馆", ("CNY", "HKD"), ("龙井 250 克", "普洱茶饼"), (40, 900)),
    DemoMerchant("travel@demo.example", "Lumen Travel", ("EUR", "USD"), ("Night train", "Hotel"), (60, 2400)),
    DemoMerchant("games@demo.example", "Hoshi Games", ("JPY",), ("Season pass", "Soundtrack"), (500, 9000)),
    DemoMerchant("coffee@demo.example", "Río Verde Coffee", ("USD", "KWD"), ("Coffee beans",), (5, 60)),
)
# Its amounts are above the limit of dual control.
LARGE_MERCHANT = DemoMerchant(
    "machines@demo.example", "Kunlun Machines", ("EUR", "USD"), ("Lathe", "起重机"), (12_000, 60_000)
)
MERCHANT_WITH_ENDPOINT = MERCHANTS[-1]


class DemoNotAllowed(Exception):
    """PAYMENT_DEMO is not set."""


@dataclass(frozen=True, slots=True)
class History:
    """The numbers of payments: added, by scenario, and existing before."""

    added: Counter[str]
    existing: int


@dataclass(frozen=True, slots=True)
class PlannedPayment:
    order_no: str
    merchant: DemoMerchant
    sale: Sale
    scenario: Scenario
    age: dt.timedelta
    rng: random.Random


def seed_history(*, payments: int) -> History:
    """Raises `DemoNotAllowed`."""
    if not settings.PAYMENT_DEMO:
        raise DemoNotAllowed
    principals = {
        merchant.email: _build_principal(_get_or_create_merchant(merchant))
        for merchant in (*MERCHANTS, LARGE_MERCHANT)
    }
    with webhook_receiver(principals[MERCHANT_WITH_ENDPOINT.email]):
        history = _create_payments(principals, payments)
    _create_staff()
    if history.added:
        if settings.LOCAL_STACK:
            perform_staff_actions(merchant=_get_or_create_merchant(MERCHANT_WITH_ENDPOINT))
        aggregation.rebuild()
        balances.roll_up()
        closes.close_days()
        run_checks()
    return history


def _create_payments(principals: Mapping[str, Principal], count: int) -> History:
    added, existing = Counter[str](), 0
    batch: list[tuple[str, dt.timedelta]] = []
    for planned in plan_payments(count):
        shop = DemoShop(principals[planned.merchant.email], planned.sale)
        if _exists(shop):
            existing += 1
            continue
        planned.scenario.run(shop, planned.rng)
        added[planned.scenario.name] += 1
        batch.append((shop.payment.payment_no, planned.age))
        if len(batch) == BATCH:
            _move_batch(batch)
            batch.clear()
    _move_batch(batch)
    finish_sagas(Q())  # also those of other payments that expired meanwhile
    return History(added, existing)


def plan_payments(count: int) -> Iterator[PlannedPayment]:
    """Each scenario at least once when `count` allows it, oldest first. The same plan for the same count."""
    rng = random.Random(f"demo {count}")  # noqa: S311 - not a secret
    closed_scenarios = [scenario for scenario in SCENARIOS if not scenario.is_open]
    open_scenarios = [scenario for scenario in SCENARIOS if scenario.is_open]
    open_count = min(count, max(len(open_scenarios), count // 40))
    scenarios = _choose_scenarios(closed_scenarios, count - open_count, rng)
    scenarios += _choose_scenarios(open_scenarios, open_count, rng)
    for number, scenario in enumerate(scenarios, start=1):
        position = (number - 1) / max(1, count - open_count)
        age = dt.timedelta(0) if scenario.is_open else MIN_AGE + _age_at(min(position, 1.0))
        merchant = LARGE_MERCHANT if scenario.is_large else MERCHANTS[number % len(MERCHANTS)]
        yield PlannedPayment(
            order_no := f"DEMO-{number:05d}",
            merchant,
            _choose_sale(order_no, merchant, rng),
            scenario,
            age,
            random.Random(f"{count} {number}"),  # noqa: S311
        )


def _choose_scenarios(scenarios: list[Scenario], count: int, rng: random.Random) -> list[Scenario]:
    weights = [scenario.weight for scenario in scenarios]
    chosen = [*scenarios, *rng.choices(scenarios, weights, k=max(0, count))][:count]
    rng.shuffle(chosen)
    return chosen


def _age_at(position: float) -> dt.timedelta:
    """The age at a position from 0.0 (oldest) to 1.0 (youngest), with more payments at noon than at midnight (UTC)."""
    whole, part = divmod(position * SPREAD.days, 1.0)
    passed = dt.timedelta(days=whole + part + 0.12 * math.sin(2 * math.pi * part))
    midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since_midnight = dt.datetime.now(dt.UTC) - midnight
    return SPREAD + since_midnight - passed


def _choose_sale(order_no: str, merchant: DemoMerchant, rng: random.Random) -> Sale:
    currency = rng.choice(merchant.currencies)
    minor = 10 ** EXPONENTS[currency]
    amount = int(rng.triangular(*merchant.amounts, merchant.amounts[0] * 2) * minor)
    if amount % 10_000 in FAULT_AMOUNTS:
        amount += 100
    customer = {"email": f"customer{rng.randrange(200):03d}@mail.example"}
    return Sale(order_no, amount, currency, rng.choice(merchant.goods), customer)


def _get_or_create_merchant(merchant: DemoMerchant) -> Merchant:
    """The secrets of its keys are not kept: rotate the keys to call the API as this merchant."""
    try:
        return create_merchant(name=merchant.name, email=merchant.email).merchant
    except EmailTaken:
        return Merchant.objects.get(email=merchant.email)


def _build_principal(merchant: Merchant) -> Principal:
    return Principal(
        merchant_id=merchant.pk,
        environment=Environment.TEST,
        key_id=uuid7(),
        scopes=frozenset(ALL_SCOPES),
        is_demo=False,
    )


def _exists(shop: DemoShop) -> bool:
    return Payment.objects.filter(
        merchant_id=shop.principal.merchant_id, environment=Environment.TEST, order_no=shop.sale.order_no
    ).exists()


def _move_batch(batch: list[tuple[str, dt.timedelta]]) -> None:
    """First publishes the events: an old unpublished event would mean that the relay is down."""
    _publish([payment_no for payment_no, _age in batch])
    deliver_webhooks()
    for payment_no, age in batch:
        move_into_past(payment_no=payment_no, by=age)


def _publish(payment_nos: list[str]) -> None:
    unpublished = OutboxEvent.objects.filter(ordering_key__in=payment_nos, published_at__isnull=True)
    give_up_at = time.monotonic() + PUBLISH_SECONDS
    while unpublished.exists() and time.monotonic() < give_up_at:
        if not relay.drain(sinks=configured_sinks(), fan_out_batch=fanout.fan_out_batch):
            time.sleep(0.1)  # the relay of the running stack is the leader


def _create_staff() -> None:
    """Creates a user of each role on the local stack. The password is the role's name in lower case."""
    if not settings.LOCAL_STACK:
        return
    for role in Role:
        name = role.value.lower()
        with transaction.atomic():
            if name == "admin" or User.objects.filter(username=name).exists():
                continue
            user = User.objects.create_user(name, password=name, is_staff=True)
            user.groups.set(Group.objects.filter(name=role.value))
