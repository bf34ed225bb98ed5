"""A large refund by staff is asked for by one and agreed to by another: then it is made, once."""

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
    """20,000.00 USD, of which 10,000.00 may go back by one person alone."""
    return Payment.objects.get(payment_no=shop.paid(client, amount=2_000_000)["payment_no"])


def ask(browser: Client, payment: Payment, amount: str = LARGE, *, key: object = None) -> int:
    form = {"refund-refund_id": str(key or uuid7()), "refund-amount": amount, "refund-reason": "broken"}
    return browser.post(reverse("admin:gateway_payment_refund", args=[payment.pk]), form).status_code


def decide(browser: Client, payment: Payment, word: str = "approve") -> int:
    url = reverse("admin:gateway_payment_decide", args=[payment.pk])
    approval = Approval.objects.latest("requested_at")
    said = {"approve": "1"} if word == "approve" else {"reason": "it arrived after all"}
    return browser.post(url, {"approval": str(approval.pk), **said}).status_code


def page(browser: Client, payment: Payment) -> str:
    answer = browser.get(reverse("admin:gateway_payment_change", args=[payment.pk]))
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def given_back(payment: Payment) -> list[int]:
    return [abs(amount) for kind, amount in bank.read_ledger(payment.payment_no) if kind == "refund"]


def test_one_asks_another_agrees_and_the_money_goes_back_once(ana, ben, paid) -> None:
    assert ask(ana, paid) == 302
    assert not Refund.objects.exists()
    assert given_back(paid) == []
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
    assert decide(ben, paid) == 302, "the second press"
    assert given_back(paid) == [1_500_000]
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


def test_who_asked_cannot_agree_but_can_take_it_back(ana, paid) -> None:
    ask(ana, paid)
    assert "Another person must approve it" in page(ana, paid)
    decide(ana, paid)
    assert Approval.objects.get().state == "pending"
    url = reverse("admin:gateway_payment_decide", args=[paid.pk])
    nothing_said = ana.post(url, {"approval": str(Approval.objects.get().pk), "reason": " "})
    assert nothing_said.status_code == 422
    assert Approval.objects.get().state == "pending"
    decide(ana, paid, "reject")
    assert Approval.objects.get().state == "rejected"
    taken_back = StaffAction.objects.get(action="approval.reject")
    assert (taken_back.actor, taken_back.reason) == ("ana", "it arrived after all")
    assert not Refund.objects.exists()
    assert ask(ana, paid) == 302, "it can be asked for anew"


def test_who_may_not_approve_decides_nothing(ana, paid, sign_in) -> None:
    ask(ana, paid)
    vera = sign_in("vera", "view_*")
    assert "Your role does not permit approvals." in page(vera, paid)
    assert decide(vera, paid) == decide(vera, paid, "reject") == 403
    assert Approval.objects.get().state == "pending"


def test_many_small_ones_are_one_large_one(ana, ben, paid) -> None:
    assert ask(ana, paid, "6000") == 302
    assert given_back(paid) == [600_000]
    assert ask(ben, paid, "6000") == 302
    assert given_back(paid) == [600_000]
    assert Approval.objects.get().requested_by == "ben"


def test_what_two_agreed_to_does_not_count_for_one(ana, ben, paid) -> None:
    ask(ana, paid, "12000")
    decide(ben, paid)
    assert ask(ana, paid, "1000") == 302
    assert sorted(given_back(paid)) == [100_000, 1_200_000]


def test_what_no_longer_fits_is_not_made(ana, ben, paid, client) -> None:
    ask(ana, paid)
    shop.data(shop.refund(client, {"payment_no": paid.payment_no}, 600_000))
    decide(ben, paid)
    assert Approval.objects.get().state == "stale"
    assert given_back(paid) == [600_000]
    assert not StaffAction.objects.filter(action="refund.create").exists()


def test_a_form_sent_twice_asks_once_and_later_shows_what_became_of_it(ana, ben, paid) -> None:
    key = uuid7()
    assert [ask(ana, paid, key=key) for _each in range(2)] == [302, 302]
    assert Approval.objects.count() == 1
    assert ask(ana, paid) == 409, "another one for the same payment"
    decide(ben, paid)
    assert ask(ana, paid, "1", key=key) == 302
    assert given_back(paid) == [1_500_000]


def test_nobody_agreed_in_time(ana, ben, paid) -> None:
    ask(ana, paid)
    approval = Approval.objects.get()
    Approval.objects.update(requested_at=F("requested_at") - decisions.VALID_FOR + timedelta(minutes=1))
    assert decisions.expire_approvals() == 0
    assert "requested by ana" in page(ben, paid)
    Approval.objects.update(requested_at=F("requested_at") - timedelta(minutes=2))
    assert "requested by ana" not in page(ben, paid)
    with pytest.raises(NotPermitted):
        refunds.approve(approval_id=approval.pk, actor="ben")
    assert ask(ben, paid) == 302
    assert list(Approval.objects.order_by("requested_at").values_list("state", flat=True)) == [
        "expired",
        "pending",
    ]
    assert not Refund.objects.exists()


def test_two_agree_at_once_and_it_is_made_once(ana, paid) -> None:
    ask(ana, paid)
    approval_id = Approval.objects.get().pk
    for name in ("ben", "carl"):
        User.objects.get_or_create(username=name, defaults={"is_staff": True})

    def agree(name: str) -> str:
        try:
            return str(refunds.approve(approval_id=approval_id, actor=name).status)
        except NotPermitted:
            return "too late"

    said = at_once(lambda: agree("ben"), lambda: agree("carl"))
    assert sorted(said) == ["succeeded", "too late"]
    assert given_back(paid) == [1_500_000]


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "call"])
def test_a_death_while_agreeing_loses_and_doubles_nothing(ana, ben, paid, point: str) -> None:
    ask(ana, paid)
    approval = Approval.objects.get()
    where = "saga.call.after:CallChannelRefund" if point == "call" else f"refund_approval.{point}"
    program = (
        f"from backoffice.approvals import refunds;refunds.approve(approval_id='{approval.pk}', actor='ben')"
    )
    died = subprocess.run(
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
    assert died.returncode == -9, died.stderr.decode()[-2000:]
    approval.refresh_from_db()
    assert approval.state == ("pending" if point == "before_commit" else "approved")
    assert Refund.objects.exists() == (point != "before_commit")
    background.expire_all_leases()
    background.finish()
    decide(ben, paid)
    assert given_back(paid) == [1_500_000]
    assert Refund.objects.get().status == "succeeded"
    assert StaffAction.objects.filter(action="refund.create").count() == 1
