"""Steps 4 and 6 of the quick start, exactly as the document has them, and the seeded data that they need."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection

from channels.simulator.models import LedgerEntry
from demo import quick_start
from gateway.models import Payment
from merchants.models import ApiKey, Merchant
from monitoring.services import run_checks
from sagas.models import SagaInstance, SagaStatus
from tests.ops.conftest import World
from tests.support import shop
from tests.support.signing import SignedClient, demo_client
from tests.support.tables import row_counts

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

DEMO_PAYMENT = {"payment_no": "PAY-existing-payment-123"}


def rows(sql: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        columns = [column.name for column in cursor.description or ()]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def seed() -> str:
    output = StringIO()
    call_command("seed_demo", stdout=output)
    return output.getvalue()


# --- Step 4 -------------------------------------------------------------------------------------------


def test_step_4_sagas_newest_first(world: World) -> None:
    sagas = rows("""
        SELECT id, business_id, business_type, status, current_step, created_at
        FROM saga_instances
        ORDER BY created_at DESC
        LIMIT 10;
    """)
    assert sagas[0]["created_at"] > sagas[-1]["created_at"]
    by_business = {saga["business_id"]: saga for saga in sagas}
    assert (by_business[world.paid]["status"], by_business[world.paid]["business_type"]) == (
        "completed",
        "payment",
    )
    assert by_business[world.declined]["status"] == "compensated"


def test_step_4_steps_in_their_order(world: World) -> None:
    steps = rows("""
        SELECT si.business_id, ss.step_order, ss.step_name, ss.status, ss.retry_count
        FROM saga_instances si
        JOIN saga_steps ss ON si.id = ss.saga_id
        ORDER BY si.created_at DESC, ss.step_order
        LIMIT 20;
    """)
    of_refund = [step for step in steps if step["business_id"] == world.refund]
    assert [(step["step_order"], step["step_name"], step["status"]) for step in of_refund] == [
        (1, "ReserveRefund", "completed"),
        (2, "CallChannelRefund", "completed"),
        (3, "SettleRefund", "completed"),
    ]


def test_step_4_sagas_that_were_rolled_back(world: World) -> None:
    compensated = rows(
        "SELECT * FROM saga_instances WHERE status = 'compensated' ORDER BY created_at DESC LIMIT 10;"
    )
    assert [saga["business_id"] for saga in compensated] == [world.declined]
    wanted = "id business_id business_type status current_step error_message metadata created_at updated_at"
    assert {*wanted.split(), "completed_at", "compensated_at"} <= set(compensated[0])


def test_step_4_steps_to_retry_are_those_that_are_due(
    client: SignedClient, settings: Any, sabotage: Callable[..., None]
) -> None:
    query = """
        SELECT * FROM saga_steps
        WHERE status = 'failed' AND next_retry_at IS NOT NULL AND next_retry_at <= NOW()
        LIMIT 10;
    """
    settings.SAGA_RETRY_BASE_SECONDS = settings.SAGA_RETRY_CAP_SECONDS = 10_000
    shop.data(shop.create(client, "timeout_before"), 202)
    assert rows(query) == []
    sabotage("UPDATE saga_steps SET next_retry_at = now() WHERE next_retry_at IS NOT NULL")
    (step,) = rows(query)
    assert (step["step_name"], step["retry_count"], step["max_retry_count"]) == ("CallPaymentChannel", 1, 3)
    wanted = (
        "execute_data compensate_data result error_message executed_at compensated_at created_at updated_at"
    )
    assert set(wanted.split()) <= set(step)


# --- Step 6 -------------------------------------------------------------------------------------------


def test_step_6_finds_nothing_wrong(world: World) -> None:
    seed()
    assert rows("SELECT order_no, COUNT(*) FROM payments GROUP BY order_no HAVING COUNT(*) > 1;") == []
    assert (
        rows("""
        SELECT o.id, o.order_no, COUNT(oi.id) as items_count
        FROM orders o
        LEFT JOIN order_items oi ON o.id = oi.order_id
        GROUP BY o.id, o.order_no
        HAVING COUNT(oi.id) = 0;
    """)
        == []
    )
    assert (
        rows("""
        SELECT m.id, m.email, COUNT(ak.id) as api_keys_count
        FROM merchants m
        LEFT JOIN api_keys ak ON m.id = ak.merchant_id
        GROUP BY m.id, m.email
        HAVING COUNT(ak.id) < 2;
    """)
        == []
    )


def test_step_6_refunds_stop_at_the_payment_and_seeding_again_resets_nothing() -> None:
    seed()
    client = demo_client()
    refunded = shop.data(shop.refund(client, DEMO_PAYMENT, 5_000, reason="测试退款1"))
    assert refunded["status"] == "succeeded"
    answer = shop.refund(client, DEMO_PAYMENT, 8_000, reason="测试退款2")
    assert answer.status_code == 422
    assert answer.json()["details"]["refundable_amount"] == 5_000
    before = row_counts()
    assert "kept as it is" in seed()
    assert row_counts() == before
    assert shop.get_payment(client, DEMO_PAYMENT)["refunded_amount"] == 5_000
    assert run_checks().failed == 0


# --- What is seeded -------------------------------------------------------------------------------------


def test_seeding_creates_a_complete_payment() -> None:
    text = seed()
    assert "PAY-existing-payment-123 (succeeded)" in text
    payment = Payment.objects.get(**DEMO_PAYMENT)
    assert (payment.amount_minor, payment.currency, payment.order_no) == (10_000, "USD", "ORDER-existing-123")
    assert (payment.channel, payment.sandbox, payment.environment) == ("stripe", True, "test")
    assert SagaInstance.objects.get(id=payment.id).status == SagaStatus.COMPLETED
    assert LedgerEntry.objects.get(reference=payment.payment_no).amount == 10_000
    assert ApiKey.objects.filter(merchant=Merchant.objects.get()).count() == 2
    assert run_checks().failed == 0


def test_the_administrator_gets_the_password_that_was_given_once() -> None:
    quick_start.seed_demo(admin_password="first-password")
    quick_start.seed_demo(admin_password="second-password")
    admin = get_user_model().objects.get()
    assert admin.is_superuser
    assert admin.check_password("first-password")


@pytest.mark.parametrize(("local_stack", "account"), [(True, "created"), (False, "not created")])
def test_only_the_local_stack_has_a_known_password(local_stack: bool, account: str, settings: Any) -> None:
    settings.LOCAL_STACK = local_stack
    assert quick_start.seed_demo(admin_password="").admin_account.startswith(account)
    assert get_user_model().objects.filter(username="admin").exists() is local_stack


def test_with_a_real_stripe_the_demo_payment_stays_in_the_sandbox(settings: Any) -> None:
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_x", "live": ""}
    assert quick_start.seed_demo(admin_password="").payment_status == "succeeded"
    assert Payment.objects.get(**DEMO_PAYMENT).channel == "simulator"
