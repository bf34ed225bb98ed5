"""Staff close a saga with a resolution: the payment or refund gets that outcome, or stays open and is polled."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from html import unescape
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.services.audited_saga_operations import operate
from channels.base import Declined, Reported
from common.errors import NotPermitted, StaleView
from gateway.models import Payment, Refund
from monitoring.services import run_checks
from sagas import registry, signals
from sagas.availability import Operation
from sagas.models import SagaInstance, SagaStatus
from tests.ops.test_saga_admin_operations import browser
from tests.support import background, bank, shop
from tests.support.channels import InterceptedSimulator, intercept_simulator
from tests.support.polling import poll_due
from tests.support.signing import SignedClient
from tests.support.threads import at_once
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
InReview = tuple[dict[str, Any], SagaInstance]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> InterceptedSimulator:
    return intercept_simulator(monkeypatch)


def lie(line: InterceptedSimulator, answer: Callable[[Any], Any], *operations: str) -> None:
    line.after = lambda operation, true: answer(true) if operation in operations else true


def other_amount(true: Any) -> Any:
    fits = isinstance(true, Reported)
    return Reported(replace(true.value, amount_minor=1, captured_minor=1)) if fits else true


def other_refund(true: Any) -> Any:
    return Reported(replace(true.value, amount_minor=1)) if isinstance(true, Reported) else true


def saga_in_review(number: str, definition: str) -> SagaInstance:
    background.finish()
    saga = background.saga_of(number, definition)
    assert saga.needs_attention
    return saga


def creation_in_review(client: SignedClient, line: InterceptedSimulator) -> InReview:
    lie(line, other_amount, "create_payment")
    payment = shop.data(shop.create(client, "no_webhook", order_no="ORDER-1", key="a-creation"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.create")


def compensation_in_review(client: SignedClient, line: InterceptedSimulator) -> InReview:
    """The compensation failed: the saga has ended, and the payment is still open."""
    lie(line, lambda _true: Declined("cancel_refused", "cannot be cancelled"), "cancel_payment")
    payment = shop.data(
        shop.create(client, "no_webhook,timeout_after*always,query:timeout_before*always"), 202
    )
    saga = saga_in_review(payment["payment_no"], "payment.create")
    assert saga.status == SagaStatus.FAILED
    return payment, saga


def capture_in_review(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.authorized(client, "no_webhook")
    lie(line, other_amount, "capture_payment")
    shop.data(shop.capture(client, payment, amount=4_000, key="a-capture"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.capture")


def cancel_in_review(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.opened(client, "no_webhook")
    bank.pay(payment)
    lie(line, other_amount, "cancel_payment", "find_payment")
    shop.data(shop.cancel(client, payment, key="a-cancel"), 202)
    return payment, saga_in_review(payment["payment_no"], "payment.cancel")


def refund_in_review(client: SignedClient, line: InterceptedSimulator) -> InReview:
    payment = shop.paid(client, "no_webhook")
    lie(line, other_refund, "refund_payment", "find_refund")
    refund = shop.data(shop.refund(client, payment, 3_000, key="a-refund"), 202)
    return refund, saga_in_review(refund["refund_no"], "refund.create")


def unanswered_refund(client: SignedClient, line: InterceptedSimulator) -> InReview:
    """The refund may have happened: the channel answers no query about it."""
    payment = shop.paid(client, "no_webhook,refund:timeout_after*always,query_refund:timeout_before*always")
    refund = shop.data(shop.refund(client, payment, 3_000), 202)
    return refund, saga_in_review(refund["refund_no"], "refund.create")


OF_PAYMENTS = (creation_in_review, compensation_in_review, capture_in_review, cancel_in_review)
OF_REFUNDS = (refund_in_review, unanswered_refund)


def resolve(saga: SagaInstance, resolution: str = "") -> None:
    operate(
        operation=Operation.MARK_RESOLVED,
        saga_id=saga.id,
        seen_revision=saga.revision,
        actor="ana",
        reason="the bank said so",
        result=resolution,
    )


def unwatched() -> tuple[str, ...]:
    (result,) = run_checks(only=["open_payments_watched"], grace=timedelta(0)).results
    return result.sample


@pytest.mark.parametrize("make_case", OF_PAYMENTS)
def test_a_resolution_without_an_outcome_leaves_the_payment_open_and_polled(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    payment, saga = make_case(client, line)
    Payment.objects.update(next_check_at=None)
    resolve(saga)
    assert unwatched() == ()
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert row.is_open
    line.mend()
    background.make_checks_due()
    poll_due()
    row.refresh_from_db()
    reported = bank.get_channel_payment(payment["payment_no"])
    assert row.captured_minor == reported.captured_minor, "the next query decides"


@pytest.mark.parametrize("make_case", OF_PAYMENTS)
def test_unpaid_ends_the_payment_and_its_order(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    payment, saga = make_case(client, line)
    resolve(saga, "unpaid")
    row = Payment.objects.select_related("order").get(payment_no=payment["payment_no"])
    assert (row.status, row.failure_code, row.order.status) == ("failed", "resolved_by_staff", "cancelled")
    assert unwatched() == ()


def test_a_payment_wrongly_resolved_as_unpaid_becomes_a_late_payment(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = cancel_in_review(client, line)
    resolve(saga, "unpaid")
    line.mend()
    shop.data(shop.sync(client, payment))
    background.finish()
    assert bank.read_ledger(payment["payment_no"]) == [("charge", 10_000), ("refund", 10_000)]
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.refunded_minor) == ("failed", 10_000, 10_000)


@pytest.mark.parametrize(
    ("make_case", "captured"),
    [
        (creation_in_review, 10_000),
        (compensation_in_review, 10_000),
        (capture_in_review, 4_000),
        (cancel_in_review, 10_000),
    ],
)
def test_paid_records_the_captured_amount(
    client: SignedClient, line: InterceptedSimulator, make_case: Any, captured: int
) -> None:
    payment, saga = make_case(client, line)
    resolve(saga, "paid")
    row = Payment.objects.select_related("order").get(payment_no=payment["payment_no"])
    assert (row.status, row.captured_minor, row.order.status) == ("succeeded", captured, "paid")


@pytest.mark.parametrize("make_case", OF_REFUNDS)
def test_a_resolution_without_an_outcome_keeps_a_refund_reserved_and_polled(
    client: SignedClient, line: InterceptedSimulator, make_case: Any
) -> None:
    refund, saga = make_case(client, line)
    resolve(saga)
    assert unwatched() == ()
    row = Refund.objects.select_related("payment").get(refund_no=refund["refund_no"])
    assert (row.status, row.payment.refund_pending_minor) == ("pending", 3_000)
    line.mend()
    if make_case is refund_in_review:
        poll_due()
        row.refresh_from_db()
        assert row.status == "succeeded"


@pytest.mark.parametrize("make_case", OF_REFUNDS)
@pytest.mark.parametrize(
    ("resolution", "status", "refunded"), [("refunded", "succeeded", 3_000), ("not_refunded", "failed", 0)]
)
def test_a_refund_gets_the_outcome_of_its_resolution(
    client: SignedClient,
    line: InterceptedSimulator,
    make_case: Any,
    resolution: str,
    status: str,
    refunded: int,
) -> None:
    refund, saga = make_case(client, line)
    resolve(saga, resolution)
    row = Refund.objects.select_related("payment").get(refund_no=refund["refund_no"])
    assert (row.status, row.payment.refunded_minor, row.payment.refund_pending_minor) == (status, refunded, 0)
    assert unwatched() == ()
    (totals,) = run_checks(only=["refund_totals"]).results
    assert totals.passed


def test_a_late_payment_whose_refund_was_not_reserved_still_needs_review(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment = shop.opened(client, "no_webhook")
    shop.data(shop.cancel(client, payment))
    bank.pay_closed_payment(payment)
    shop.data(shop.sync(client, payment))
    saga = SagaInstance.objects.get(definition="refund.create")
    SagaInstance.objects.filter(pk=saga.pk).update(
        status="in_progress",
        needs_attention=True,
        attention_reason="claimed 6 times without progress",
        lease_expires_at=None,
    )
    resolve(saga)
    row = Payment.objects.get(payment_no=payment["payment_no"])
    assert (row.needs_attention, row.attention_reason) == (True, "The late payment was not refunded")
    with pytest.raises(NotPermitted):
        resolve(SagaInstance.objects.get(pk=saga.pk), "refunded")


def test_a_paid_payment_cannot_be_resolved_as_unpaid(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    """The webhook wakes the cancellation, whose queries are still answered wrongly: it needs review again."""
    payment, saga = cancel_in_review(client, line)
    assert bank.read_effect(bank.send_webhook(bank.build_webhook(payment))) == "applied"
    background.finish()
    saga.refresh_from_db()
    with translation.override("en"), pytest.raises(NotPermitted, match="is paid"):
        resolve(saga, "unpaid")
    saga.refresh_from_db()
    assert saga.needs_attention
    assert not StaffAction.objects.exists()


def test_a_cancellation_in_review_ends_by_itself_when_the_payment_is_paid(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = cancel_in_review(client, line)
    line.mend()
    shop.data(shop.sync(client, payment))
    background.finish()
    saga.refresh_from_db()
    assert (saga.status, saga.needs_attention) == (SagaStatus.COMPLETED, False)
    assert shop.get_payment(client, payment)["status"] == "succeeded"


def test_a_resolution_of_an_old_revision_changes_nothing(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = creation_in_review(client, line)
    signals.deliver_signal(saga_id=saga.id, name="x", signal_id="1")
    with pytest.raises(StaleView):
        resolve(saga, "unpaid")
    assert Payment.objects.get(payment_no=payment["payment_no"]).status == "pending"


@pytest.mark.parametrize("_round", range(5))
def test_resolving_as_unpaid_races_an_update_that_reports_paid(
    client: SignedClient, line: InterceptedSimulator, _round: int
) -> None:
    """Both lock the payment first. The second one sees the change of the first one, and no money is lost."""
    payment, saga = cancel_in_review(client, line)
    line.mend()

    def person() -> str:
        try:
            resolve(saga, "unpaid")
        except (NotPermitted, StaleView):
            return "refused"
        return "resolved"

    result, _status = at_once(person, lambda: shop.sync(client, payment).status_code)
    background.finish()
    row = Payment.objects.get(payment_no=payment["payment_no"])
    if result == "resolved":
        assert (row.status, row.captured_minor, row.refunded_minor) == ("failed", 10_000, 10_000)
    else:
        assert (row.status, row.captured_minor, row.refunded_minor) == ("succeeded", 10_000, 0)


def test_a_step_of_our_own_tables_is_not_skipped(client: SignedClient) -> None:
    """Skipping it would leave the payment open, and no task would poll it."""
    payment = shop.opened(client)
    saga = background.saga_of(payment["payment_no"], "payment.create")
    saga.steps.filter(step_name="ActivatePayment").update(status="pending")
    with without_triggers():
        SagaInstance.objects.filter(pk=saga.pk).update(
            status="in_progress", completed_at=None, needs_attention=True, attention_reason="poison"
        )
    with translation.override("en"), pytest.raises(NotPermitted, match="ActivatePayment changes our own"):
        operate(
            operation=Operation.SKIP_STEP,
            saga_id=saga.id,
            seen_revision=saga.revision,
            actor="ana",
            reason="x",
            result="{}",
        )


def test_a_repeated_request_gets_the_resolution(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, saga = creation_in_review(client, line)
    resolve(saga, "unpaid")
    again = shop.create(client, "no_webhook", order_no="ORDER-1", key="a-creation")
    details = shop.error(again, 402, "payment_declined")
    assert details["payment_no"] == payment["payment_no"]
    assert details["failure_code"] == "resolved_by_staff"


def test_repeated_captures_and_refunds_get_the_resolution(
    client: SignedClient, line: InterceptedSimulator
) -> None:
    payment, saga = capture_in_review(client, line)
    resolve(saga, "unpaid")
    assert shop.capture(client, payment, amount=4_000, key="a-capture").status_code == 402
    refund, saga = refund_in_review(client, line)
    resolve(saga, "refunded")
    reported = shop.data(shop.refund(client, refund, 3_000, key="a-refund"))
    assert reported["status"] == "succeeded"


def command(*words: str) -> str:
    out = StringIO()
    with translation.override("en"):
        call_command("saga", *words, stdout=out)
    return out.getvalue()


def test_a_saga_is_resolved_in_the_terminal(client: SignedClient, line: InterceptedSimulator) -> None:
    refund, saga = refund_in_review(client, line)
    reported = command("show", str(saga.id))
    for resolution in registry.find_definition("refund.create", 1).resolutions:
        assert f"--as {resolution.name}" in reported
    assert "Refunded: the channel has refunded the money" in reported
    assert "resolutions: watch | refunded | not_refunded" in command("graph", "refund.create")
    words = ("resolve", str(saga.id), "--reason", "told on the phone", "--actor", "ana", "--as")
    with pytest.raises(CommandError, match="has no resolution gone"):
        command(*words, "gone")
    assert 'ending: "refunded"' in command(*words, "refunded")
    assert Refund.objects.get(refund_no=refund["refund_no"]).status == "succeeded"
    action = StaffAction.objects.get(action="saga.mark_resolved")
    assert (action.actor, action.reason, action.after["ending"]) == (
        "terminal:ana",
        "told on the phone",
        "refunded",
    )
    assert not action.before.get("ending")


def test_a_saga_is_resolved_on_its_page(client: SignedClient, line: InterceptedSimulator) -> None:
    payment, saga = creation_in_review(client, line)
    ana = browser("ana", "view_sagainstance", "operate_sagainstance")
    html = unescape(ana.get(reverse("admin:sagas_sagainstance_change", args=[saga.pk])).content.decode())
    for resolution in registry.find_definition("payment.create", 1).resolutions:
        assert f'value="{resolution.name}"' in html
    assert "Not paid: the payment fails and its order is cancelled" in html
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    form = {
        "resolution": "unpaid",
        "reason_code": "channel_said",
        "reason": "the bank said so",
        "confirm": payment["payment_no"],
        "seen": f"{saga.pk}:{saga.revision}",
    }
    assert ana.post(url, {**form, "resolution": "gone"}).status_code == 422
    assert ana.post(url, form).status_code == 302
    assert Payment.objects.get(payment_no=payment["payment_no"]).status == "failed"
    assert StaffAction.objects.get().after["ending"] == "unpaid"


def test_bulk_resolve_offers_no_resolution(client: SignedClient, line: InterceptedSimulator) -> None:
    sagas = [make_case(client, line)[1] for make_case in (capture_in_review, refund_in_review)]
    ana = browser("ana", "view_sagainstance", "operate_sagainstance")
    url = reverse("admin:sagas_sagainstance_operate", args=[Operation.MARK_RESOLVED.value])
    selected = "&".join(f"id={saga.pk}" for saga in sagas)
    assert 'name="resolution"' not in ana.get(f"{url}?{selected}").content.decode()
