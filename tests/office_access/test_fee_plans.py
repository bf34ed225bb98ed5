"""Fee plans in the back office: requested by one person, approved by another, and then charged."""

import pytest
from django.urls import reverse

from audit.models import StaffAction
from backoffice.fee_forms import describe_rate
from fees.formula import Rate, Tier
from fees.models import FeePlanAssignment, FeePlanChange, FeePlanVersion, MerchantStatement
from ledger.models import LedgerTransfer
from merchants.services import NewMerchant
from tests.office_access.conftest import member, signed_in
from tests.support import shop
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

VERSION = "/admin/fees/feeplanchange/version/"
ASSIGN = "/admin/fees/feeplanchange/assign/"
WANTED = {
    "plan_name": "Standard",
    "rates": "USD percent=2.9 fixed=0.30\nusd channel=stripe method=card percent=1.5,1000:1.25 min=0.10 max=5",
    "refund_rule": "proportional",
    "reason": "a new contract",
}


def decide(browser, verb: str, reason: str = "agreed") -> int:
    change = FeePlanChange.objects.get(state="pending")
    answer = browser.post(reverse(f"admin:fees_feeplanchange_{verb}", args=[change.pk]), {"reason": reason})
    return answer.status_code


def test_a_plan_needs_two_people_and_is_then_charged(client: SignedClient, acme: NewMerchant) -> None:
    fin, fay = signed_in(member("fin", "Finance")), signed_in(member("fay", "Finance"))
    shown = fin.post(VERSION, WANTED, follow=True).content.decode()
    assert "100.00 → 3.20" in shown, "the page shows the fee of an example payment"
    assert decide(fin, "approve") == 409, "the requester cannot approve"
    assert not FeePlanVersion.objects.exists()
    assert decide(fay, "approve") == 302
    assert fin.post(ASSIGN, {**WANTED, "merchant_email": acme.merchant.email}).status_code == 302
    assert decide(fay, "approve") == 302
    version, assigned = FeePlanVersion.objects.get(), FeePlanAssignment.objects.get()
    assert (assigned.merchant_id, assigned.plan_id) == (acme.merchant.id, version.plan_id)
    shop.paid(client)
    assert LedgerTransfer.objects.get().fee_basis["fee_minor"] == 320
    done = StaffAction.objects.order_by("id").values_list("actor", "action")
    assert list(done) == [("fin", "fee_plan.request"), ("fay", "fee_plan.approve")] * 2


def test_a_rejected_change_changes_nothing(transactional_db: None) -> None:
    fin = signed_in(member("fin", "Finance"))
    assert fin.post(VERSION, WANTED).status_code == 302
    assert decide(fin, "reject") == 302
    assert not FeePlanVersion.objects.exists()
    change = FeePlanChange.objects.get()
    for verb in ("approve", "reject"):
        again = reverse(f"admin:fees_feeplanchange_{verb}", args=[change.pk])
        assert fin.post(again, {"reason": "again"}).status_code == 409


@pytest.mark.parametrize(
    "line",
    [
        "XXX percent=1",
        "USD",
        "USD percent=-1",
        "USD percent=1e3",
        "USD percent=٣",
        "USD percent=101",
        "USD fixed=0.001",
        "USD percent=1 percent=2",
        "USD colour=red",
        "USD percent=1,5",
        "USD percent=1,10:",
        "USD percent=1 min=2 max=1",
        "USD percent=1\nUSD fixed=1",
        "USD percent=0.00001",
        "USD fixed=99999999999999999999",
    ],
)
def test_a_wrong_rate_is_refused(transactional_db: None, line: str) -> None:
    fin = signed_in(member("fin", "Finance"))
    assert fin.post(VERSION, {**WANTED, "rates": line}).status_code in (409, 422)
    assert not FeePlanChange.objects.exists()


def test_a_plan_that_does_not_exist_cannot_be_assigned(transactional_db: None, acme: NewMerchant) -> None:
    fin = signed_in(member("fin", "Finance"))
    for wrong in ({"merchant_email": acme.merchant.email}, {"merchant_email": "nobody@example.com"}):
        assert fin.post(ASSIGN, {**WANTED, **wrong}).status_code in (409, 422)
    assert not FeePlanChange.objects.exists()


def test_a_rate_is_shown_as_it_is_written() -> None:
    rate = Rate(
        currency="USD",
        channel="stripe",
        payment_method="card",
        tiers=(Tier(0, 29_000), Tier(100_000, 12_500)),
        fixed_minor=30,
        maximum_minor=500,
    )
    assert (
        describe_rate(rate) == "USD channel=stripe method=card percent=2.9,1000.00:1.25 fixed=0.30 max=5.00"
    )


def test_a_statement_is_downloaded_with_a_reason(transactional_db: None, acme: NewMerchant) -> None:
    zero = dict.fromkeys(
        [f"{each}_minor" for each in "opening payments refunds disputes fees other closing".split()], 0
    )
    statement = MerchantStatement.objects.create(
        merchant=acme.merchant,
        environment="test",
        currency="USD",
        period="day",
        first_day="2026-01-01",
        last_day="2026-01-01",
        transaction_count=0,
        **zero,
    )
    fin = signed_in(member("fin", "Finance"))
    address = reverse("admin:fees_merchantstatement_download", args=[statement.pk])
    for file, begin in (("pdf", b"%PDF"), ("csv", b"\xef\xbb\xbfcreated_at")):
        answer = fin.post(address, {"file": file, "reason": "the merchant asked"})
        content = answer.getvalue()
        assert content.startswith(begin)
    assert [each.action for each in StaffAction.objects.all()] == ["statement.downloaded"] * 2
