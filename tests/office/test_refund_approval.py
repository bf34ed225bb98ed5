"""A large refund by staff is requested by one person and approved by another, and then made once."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse

from audit.models import StaffAction
from backoffice.approvals import decisions, refunds
from backoffice.approvals.models import Approval
from channels.base import ChannelCapabilities
from common.errors import NotPermitted
from common.ids import uuid7
from gateway.errors import AmountNotSupported
from gateway.models import Payment, Refund
from tests.support import background, bank, shop
from tests.support.signing import SignedClient
from tests.support.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

FINANCE = ("view_*", "staff.refund_payment", "staff.approve_operation")
LARGE = "15000"


@pytest.fixture
def ana(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ana", *FINANCE)


@pytest.fixture
def ben(sign_in: Callable[..., Client]) -> Client:
    return sign_in("ben", *FINANCE)


@pytest.fixture
def paid(client: SignedClient) -> Payment:
    """A payment of 20,000.00 USD. One person may refund 10,000.00 USD of it alone."""
    return Payment.objects.get(payment_no=shop.paid(client, amount=2_000_000)["payment_no"])


def request(browser: Client, payment: Payment, amount: str = LARGE, *, key: object = None) -> int:
    form = {"refund-refund_id": str(key or uuid7()), "refund-amount": amount, "refund-reason": "broken"}
    return browser.post(reverse("admin:gateway_payment_refund", args=[payment.pk]), form).status_code


def decide(browser: Client, payment: Payment, word: str = "approve") -> int:
    url = reverse("admin:gateway_payment_decide", args=[payment.pk])
    approval = Approval.objects.latest("requested_at")
    decision = {"approve": "1"} if word == "approve" else {"reason": "it arrived after all"}
    return browser.post(url, {"approval": str(approval.pk), **decision}).status_code


def page(browser: Client, payment: Payment) -> str:
    answer = browser.get(reverse("admin:gateway_payment_change", args=[payment.pk]))
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def refunded_amounts(payment: Payment) -> list[int]:
    return [abs(amount) for kind, amount in bank.read_ledger(payment.payment_no) if kind == "refund"]


def test_a_requested_and_approved_refund_is_made_once(ana, ben, paid) -> None:
    assert request(ana, paid) == 302
    assert not Refund.objects.exists()
    assert refunded_amounts(paid) == []
    approvals = reverse("admin:approvals_approval_changelist")
    assert not ben.get(approvals, {"environment": "live"}).context["cl"].result_list
    waiting = ben.get(approvals).content.decode()
    (place,) = re.findall(r'href="([^"]+/find/[^"]+)"', waiting)
    assert ben.get(place)["Location"] == reverse("admin:gateway_payment_change", args=[paid.pk])
    html = page(ben, paid)
    assert "requested by ana" in html
    assert "Refunds 15,000.00 USD. Refundable now: 20,000.00 USD." in html
    assert "An approval is already pending for this object." in html
    assert decide(ben, paid) == 302
    assert decide(ben, paid) == 302, "the button is pressed twice"
    assert refunded_amounts(paid) == [1_500_000]
    assert Refund.objects.get().status == "succeeded"
    recorded = list(StaffAction.objects.order_by("id").values_list("action", "actor", "object_id"))
    assert recorded == [
        ("approval.request", "ana", paid.payment_no),
        ("refund.create", "ana", paid.payment_no),
        ("approval.approve", "ben", paid.payment_no),
    ]
    assert StaffAction.objects.get(action="refund.create").after["approved_by"] == "ben"


def test_an_amount_that_the_channel_cannot_refund_is_refused_before_the_approval(paid, monkeypatch) -> None:
    capabilities = ChannelCapabilities(methods=(), amount_steps={paid.currency: 10})
    monkeypatch.setattr("gateway.limits.get_capabilities", lambda _channel: capabilities)
    with pytest.raises(AmountNotSupported):
        refunds.refund_or_request_approval(
            payment_id=paid.pk, refund_id=uuid7(), amount_minor=1_500_001, actor="ana", reason="broken"
        )
    assert not Approval.objects.exists()


def test_the_requester_cannot_approve_but_can_reject(ana, paid) -> None:
    request(ana, paid)
    assert "Another person must approve it" in page(ana, paid)
    decide(ana, paid)
    assert Approval.objects.get().state == "pending"
    url = reverse("admin:gateway_payment_decide", args=[paid.pk])
    without_reason = ana.post(url, {"approval": str(Approval.objects.get().pk), "reason": " "})
    assert without_reason.status_code == 422
    assert Approval.objects.get().state == "pending"
    decide(ana, paid, "reject")
    assert Approval.objects.get().state == "rejected"
    rejection = StaffAction.objects.get(action="approval.reject")
    assert (rejection.actor, rejection.reason) == ("ana", "it arrived after all")
    assert not Refund.objects.exists()
    assert request(ana, paid) == 302, "it can be requested again"


def test_deciding_needs_the_permission_to_approve(ana, paid, sign_in) -> None:
    request(ana, paid)
    vera = sign_in("vera", "view_*")
    assert "Your role does not permit approvals." in page(vera, paid)
    assert decide(vera, paid) == decide(vera, paid, "reject") == 403
    assert Approval.objects.get().state == "pending"


def test_several_small_refunds_of_a_payment_count_together(ana, ben, paid) -> None:
    assert request(ana, paid, "6000") == 302
    assert refunded_amounts(paid) == [600_000]
    assert request(ben, paid, "6000") == 302
    assert refunded_amounts(paid) == [600_000]
    assert Approval.objects.get().requested_by == "ben"


def test_approved_refunds_do_not_count_towards_the_limit(ana, ben, paid) -> None:
    request(ana, paid, "12000")
    decide(ben, paid)
    assert request(ana, paid, "1000") == 302
    assert sorted(refunded_amounts(paid)) == [100_000, 1_200_000]


def test_an_approved_refund_above_what_is_left_is_not_made(ana, ben, paid, client) -> None:
    request(ana, paid)
    shop.data(shop.refund(client, {"payment_no": paid.payment_no}, 600_000))
    decide(ben, paid)
    assert Approval.objects.get().state == "stale"
    assert refunded_amounts(paid) == [600_000]
    assert not StaffAction.objects.filter(action="refund.create").exists()


def test_a_repeated_form_makes_one_request_and_later_shows_its_refund(ana, ben, paid) -> None:
    key = uuid7()
    assert [request(ana, paid, key=key) for _each in range(2)] == [302, 302]
    assert Approval.objects.count() == 1
    assert request(ana, paid) == 409, "a second request for the same payment"
    decide(ben, paid)
    assert request(ana, paid, "1", key=key) == 302
    assert refunded_amounts(paid) == [1_500_000]


def test_a_request_expires(ana, ben, paid) -> None:
    request(ana, paid)
    approval = Approval.objects.get()
    Approval.objects.update(requested_at=F("requested_at") - decisions.VALID_FOR + timedelta(minutes=1))
    assert decisions.expire_approvals() == 0
    assert "requested by ana" in page(ben, paid)
    Approval.objects.update(requested_at=F("requested_at") - timedelta(minutes=2))
    assert "requested by ana" not in page(ben, paid)
    with pytest.raises(NotPermitted):
        refunds.approve(approval_id=approval.pk, actor="ben")
    assert request(ben, paid) == 302
    assert list(Approval.objects.order_by("requested_at").values_list("state", flat=True)) == [
        "expired",
        "pending",
    ]
    assert not Refund.objects.exists()


def test_two_concurrent_approvals_make_one_refund(ana, paid) -> None:
    request(ana, paid)
    approval_id = Approval.objects.get().pk
    for name in ("ben", "carl"):
        User.objects.get_or_create(username=name, defaults={"is_staff": True})

    def approve(name: str) -> str:
        try:
            return str(refunds.approve(approval_id=approval_id, actor=name).status)
        except NotPermitted:
            return "too late"

    results = at_once(lambda: approve("ben"), lambda: approve("carl"))
    assert sorted(results) == ["succeeded", "too late"]
    assert refunded_amounts(paid) == [1_500_000]


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "call"])
def test_a_crash_during_the_approval_makes_one_refund(ana, ben, paid, point: str) -> None:
    request(ana, paid)
    approval = Approval.objects.get()
    where = "saga.call.after:CallChannelRefund" if point == "call" else f"refund_approval.{point}"
    program = (
        f"from backoffice.approvals import refunds;refunds.approve(approval_id='{approval.pk}', actor='ben')"
    )
    crashed = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", program],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DB_NAME": connection.settings_dict["NAME"],
            "CRASH_POINTS": "1",
            "PAYMENT_CRASH_AT": where,
        },
        capture_output=True,
        check=False,
    )
    assert crashed.returncode == -9, crashed.stderr.decode()[-2000:]
    approval.refresh_from_db()
    assert approval.state == ("pending" if point == "before_commit" else "approved")
    assert Refund.objects.exists() == (point != "before_commit")
    background.expire_all_leases()
    background.finish()
    decide(ben, paid)
    assert refunded_amounts(paid) == [1_500_000]
    assert Refund.objects.get().status == "succeeded"
    assert StaffAction.objects.filter(action="refund.create").count() == 1
