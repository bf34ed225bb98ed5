"""`seed_demo --payments N`: a month of several merchants, made by the real services and then moved into the past.

The order numbers are fixed, so that a second run adds what is missing and nothing else. A run that was killed leaves
at most a batch of payments that are as young as they really are.
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

from backoffice.dashboard import aggregation
from common.ids import uuid7
from common.money import EXPONENTS
from demo import office as demo_office
from demo.receiver import deliver, receiver
from demo.shop import Sale, Shop
from demo.stories import STORIES, Story
from demo.times import let_pass
from events import relay
from events.models import OutboxEvent
from events.sinks.configured import configured_sinks
from gateway.models import Payment
from merchants.errors import EmailTaken
from merchants.models import Environment, Merchant
from merchants.principal import Principal
from merchants.scopes import ALL_SCOPES
from merchants.services import create_merchant
from monitoring.services import run_checks
from sagas import engine
from sagas.models import ACTIVE_SAGA_STATUSES, SagaInstance
from staff.roles import Role
from webhooks import fanout

SPREAD = dt.timedelta(days=24)  # sagas are kept for 30 days, and a story takes up to five
SETTLED = dt.timedelta(hours=1)  # before now, so that only what stays open is younger
BATCH = 25
PUBLISH_SECONDS = 30.0
FAULT_AMOUNTS = range(9901, 9924)  # these last four digits script a fault


@dataclass(frozen=True, slots=True)
class Business:
    email: str
    name: str
    currencies: tuple[str, ...]
    goods: tuple[str, ...]
    amounts: tuple[int, int]  # in major units


BUSINESSES = (
    Business("books@demo.example", "Acme Books", ("USD", "EUR"), ("Two novels", "An atlas"), (8, 90)),
    Business("tea@demo.example", "云山茶馆", ("CNY", "HKD"), ("龙井 250 克", "普洱茶饼"), (40, 900)),
    Business("travel@demo.example", "Lumen Travel", ("EUR", "USD"), ("Night train", "Hotel"), (60, 2400)),
    Business("games@demo.example", "Hoshi Games", ("JPY",), ("Season pass", "Soundtrack"), (500, 9000)),
    Business("coffee@demo.example", "Río Verde Coffee", ("USD", "KWD"), ("Coffee beans",), (5, 60)),
)
# What goes wrong here, or goes back, takes a second person.
DEAR = Business(
    "machines@demo.example", "Kunlun Machines", ("EUR", "USD"), ("Lathe", "起重机"), (12_000, 60_000)
)
LISTENS = BUSINESSES[-1]


class NotADemo(Exception):
    """This installation is not for made-up payments."""


@dataclass(frozen=True, slots=True)
class History:
    """How many payments were added, by story, and how many were there."""

    added: Counter[str]
    kept: int


@dataclass(frozen=True, slots=True)
class Plan:
    order_no: str
    business: Business
    sale: Sale
    story: Story
    age: dt.timedelta
    chance: random.Random


def seed_history(*, payments: int) -> History:
    """Raises `NotADemo`."""
    if not settings.PAYMENT_DEMO:
        raise NotADemo
    principals = {business.email: _principal(_merchant(business)) for business in (*BUSINESSES, DEAR)}
    with receiver(principals[LISTENS.email]):
        history = _tell(principals, payments)
    _staff()
    if history.added:
        if settings.LOCAL_STACK:
            demo_office.staff_at_work(merchant=_merchant(LISTENS))
        aggregation.rebuild()
        run_checks()
    return history


def _tell(principals: Mapping[str, Principal], count: int) -> History:
    added, kept = Counter[str](), 0
    batch: list[tuple[str, dt.timedelta]] = []
    for plan in plans(count):
        shop = Shop(principals[plan.business.email], plan.sale)
        if _is_there(shop):
            kept += 1
            continue
        plan.story.tell(shop, plan.chance)
        added[plan.story.name] += 1
        batch.append((shop.payment.payment_no, plan.age))
        if len(batch) == BATCH:
            _make_older(batch)
            batch.clear()
    _make_older(batch)
    _carry_on()
    return History(added, kept)


def plans(count: int) -> Iterator[Plan]:
    """Every story at least once where there is room, oldest first. The same for the same count."""
    chance = random.Random(f"demo {count}")  # noqa: S311 - not a secret
    closed = [story for story in STORIES if not story.stays_open]
    waiting = [story for story in STORIES if story.stays_open]
    open_count = min(count, max(len(waiting), count // 40))
    stories = _cast(closed, count - open_count, chance)
    stories += _cast(waiting, open_count, chance)
    for number, story in enumerate(stories, start=1):
        place = (number - 1) / max(1, count - open_count)
        age = dt.timedelta(0) if story.stays_open else SETTLED + _age(min(place, 1.0))
        business = DEAR if story.is_dear else BUSINESSES[number % len(BUSINESSES)]
        yield Plan(
            order_no := f"DEMO-{number:05d}",
            business,
            _sale(order_no, business, chance),
            story,
            age,
            random.Random(f"{count} {number}"),  # noqa: S311
        )


def _cast(stories: list[Story], count: int, chance: random.Random) -> list[Story]:
    cast = [*stories, *chance.choices(stories, [story.weight for story in stories], k=max(0, count))][:count]
    chance.shuffle(cast)
    return cast


def _age(place: float) -> dt.timedelta:
    """From the oldest to the youngest, with more at noon than at midnight (UTC)."""
    days = place * SPREAD.days
    whole, part = divmod(days, 1.0)
    passed = dt.timedelta(days=whole + part + 0.12 * math.sin(2 * math.pi * part))
    midnight = dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since_midnight = dt.datetime.now(dt.UTC) - midnight
    return SPREAD + since_midnight - passed


def _sale(order_no: str, business: Business, chance: random.Random) -> Sale:
    currency = chance.choice(business.currencies)
    minor = 10 ** EXPONENTS[currency]
    amount = int(chance.triangular(*business.amounts, business.amounts[0] * 2) * minor)
    if amount % 10_000 in FAULT_AMOUNTS:
        amount += 100
    customer = {"email": f"customer{chance.randrange(200):03d}@mail.example"}
    return Sale(order_no, amount, currency, chance.choice(business.goods), customer)


def _merchant(business: Business) -> Merchant:
    """Its keys are thrown away: whoever wants to call as this merchant rotates them."""
    try:
        return create_merchant(name=business.name, email=business.email).merchant
    except EmailTaken:
        return Merchant.objects.get(email=business.email)


def _principal(merchant: Merchant) -> Principal:
    return Principal(
        merchant_id=merchant.pk,
        environment=Environment.TEST,
        key_id=uuid7(),
        scopes=frozenset(ALL_SCOPES),
        is_demo=False,
    )


def _is_there(shop: Shop) -> bool:
    return Payment.objects.filter(
        merchant_id=shop.principal.merchant_id, environment=Environment.TEST, order_no=shop.sale.order_no
    ).exists()


def _make_older(batch: list[tuple[str, dt.timedelta]]) -> None:
    """Only once their events have left: an old event that still waits would mean that the relay is down."""
    _publish([payment_no for payment_no, _age in batch])
    deliver()
    for payment_no, age in batch:
        let_pass(payment_no=payment_no, by=age)


def _publish(payment_nos: list[str]) -> None:
    waiting = OutboxEvent.objects.filter(ordering_key__in=payment_nos, published_at__isnull=True)
    give_up_at = time.monotonic() + PUBLISH_SECONDS
    while waiting.exists() and time.monotonic() < give_up_at:
        if not relay.drain(sinks=configured_sinks(), fan_out_batch=fanout.fan_out_batch):
            time.sleep(0.1)  # the relay of the running stack leads


def _carry_on() -> None:
    """What else fell due meanwhile, as the sweep would: where no worker runs, nothing may be left lying."""
    for saga_id in SagaInstance.objects.filter(
        status__in=ACTIVE_SAGA_STATUSES, needs_attention=False
    ).values_list("pk", flat=True):
        engine.resume_saga(saga_id)


def _staff() -> None:
    """Somebody of each role, to see what they see. The password is the role's name, on the local stack alone."""
    if not settings.LOCAL_STACK:
        return
    for role in Role:
        name = role.value.lower()
        with transaction.atomic():
            if name == "admin" or User.objects.filter(username=name).exists():
                continue
            user = User.objects.create_user(name, password=name, is_staff=True)
            user.groups.set(Group.objects.filter(name=role.value))
