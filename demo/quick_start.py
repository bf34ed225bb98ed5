"""Creates the data that the quick start expects: its merchant, a paid payment, and an administrator.

Repeating it changes nothing.
"""

import enum
import uuid
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from channels.registry import ChannelNotAvailable, get_channel
from channels.simulator.channel import SimulatorChannel
from channels.stripe.channel import StripeChannel
from common.ids import uuid7
from gateway.flows import payment_create
from gateway.flows.data import PaymentCreateData
from gateway.models import CaptureMethod, Payment
from gateway.services.create_payment import PaymentCommand, create_payment
from idempotency.request import KeyedRequest
from merchants.keys import DEMO_KEY
from merchants.models import Environment
from merchants.principal import Principal
from merchants.services import seed_demo_merchant
from sagas import engine
from sagas.state import SagaState

PAYMENT_NO = "PAY-existing-payment-123"
ORDER_NO = "ORDER-existing-123"
AMOUNT_MINOR, CURRENCY = 100_00, "USD"
ADMIN_NAME = "admin"
LOCAL_ADMIN_PASSWORD = "admin"  # noqa: S105 - only on the local stack; the quick start names it


class AdminAccount(enum.StrEnum):
    CREATED = "created"
    KEPT = "kept as it is"
    NOT_CREATED = "not created: no password was given"


@dataclass(frozen=True, slots=True)
class DemoData:
    merchant_email: str
    payment_no: str
    payment_status: str
    admin_name: str
    admin_account: AdminAccount


def seed_demo(*, admin_password: str) -> DemoData:
    """With an empty `admin_password` only the local stack gets an administrator, with a known password."""
    with transaction.atomic(durable=True):
        merchant = seed_demo_merchant()  # locks the merchant, so that two runs at once are serialized
        payment = Payment.objects.filter(payment_no=PAYMENT_NO).first()
        saga = None if payment else _start_payment(merchant.pk)
    if saga is not None:
        engine.advance_saga(saga)
    elif payment is not None:
        engine.resume_saga(payment.id)  # completes a run that was killed
    return DemoData(
        merchant_email=merchant.email,
        payment_no=PAYMENT_NO,
        payment_status=Payment.objects.values_list("status", flat=True).get(payment_no=PAYMENT_NO),
        admin_name=ADMIN_NAME,
        admin_account=_ensure_admin(admin_password),
    )


def create_demo_payment() -> str:
    """Creates a payment of the demo merchant. Returns the URL of its payment page."""
    order_no = f"DEMO-{uuid7().hex}"
    merchant = seed_demo_merchant()
    key = merchant.api_keys.get(hint=DEMO_KEY)
    principal = Principal(
        merchant_id=merchant.pk,
        environment=Environment.TEST,
        key_id=key.pk,
        scopes=frozenset(key.scopes),
        is_demo=True,
    )
    command = PaymentCommand(
        order_no=order_no,
        amount_minor=AMOUNT_MINOR,
        currency=CURRENCY,
        channel=SimulatorChannel.name,
        subject="Demo",
        body="",
        callback_url="",
        return_url=f"{settings.PUBLIC_BASE_URL}/",
        capture_method=CaptureMethod.AUTOMATIC.value,
        expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
    )
    request = KeyedRequest(tenant=principal.tenant, method="POST", route="/payments", key=None, fields={})
    create_payment(principal=principal, command=command, request=request)
    return Payment.objects.values_list("payment_url", flat=True).get(merchant=merchant, order_no=order_no)


def _start_payment(merchant_id: uuid.UUID) -> SagaState:
    """Starts a payment whose number is fixed and whose customer pays at once."""
    payment_id = uuid7()
    channel, sandbox = _choose_channel()
    data = PaymentCreateData(
        payment_id=payment_id,
        payment_no=PAYMENT_NO,
        order_id=payment_id,
        merchant_id=merchant_id,
        environment=Environment.TEST,
        order_no=ORDER_NO,
        amount_minor=AMOUNT_MINOR,
        currency=CURRENCY,
        channel=channel,
        sandbox=sandbox,
        subject="Quick start",
        body="",
        callback_url="",
        return_url="",
        capture_method=CaptureMethod.AUTOMATIC,
        expires_in_seconds=settings.PAYMENT_EXPIRES_IN_SECONDS,
        metadata={"simulate": "auto_pay"},
    )
    return payment_create.start_payment_create(data=data)


def _choose_channel() -> tuple[str, bool]:
    """Stripe if the simulator serves it; otherwise the simulator, because no customer would pay at Stripe."""
    try:
        served = get_channel(StripeChannel.name, Environment.TEST)
    except ChannelNotAvailable:
        return SimulatorChannel.name, False
    return (StripeChannel.name, True) if served.sandbox else (SimulatorChannel.name, False)


def _ensure_admin(password: str) -> AdminAccount:
    users = get_user_model().objects
    if users.filter(username=ADMIN_NAME).exists():
        return AdminAccount.KEPT
    if not password and not settings.LOCAL_STACK:
        return AdminAccount.NOT_CREATED
    users.create_superuser(ADMIN_NAME, password=password or LOCAL_ADMIN_PASSWORD)
    return AdminAccount.CREATED
