"""The viewer can read everything and change nothing, not even with requests that no page offers."""

import pytest
from playwright.sync_api import expect

from gateway.models import Payment
from sagas.availability import Operation
from staff.roles import Role
from tests.office.test_second_person import make_saga_in_review
from tests.support import shop
from tests.support.tables import row_counts

LOOK = "zh-dark"
OPERATIONS = ("Retry now", "Query the channel", "Skip the step", "Compensate", "Mark resolved", "Cancel")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


def test_a_viewer_reads_everything_and_changes_nothing(desk, client, acme) -> None:
    payment = Payment.objects.get(payment_no=shop.paid(client)["payment_no"])
    saga = make_saga_in_review(client, 2_000_000)
    vera = desk("vera", Role.VIEWER)
    before = (row_counts(), saga.revision, payment.status)

    vera.search(payment.payment_no)
    assert vera.read_disabled_reason("Refund") == vera.translate("Your role does not permit this action.")
    vera.go(f"/admin/sagas/sagainstance/{saga.pk}/change/")
    vera.unfold("More actions")
    for operation in OPERATIONS:
        assert vera.read_disabled_reason(operation) == vera.translate(
            "Your role does not permit this action."
        )
    expect(vera.page.locator("dialog")).to_have_count(0)
    vera.go(f"/admin/merchants/merchant/{acme.merchant.pk}/change/")
    expect(
        vera.page.get_by_text(vera.translate("Your role does not permit this action.")).first
    ).to_be_visible()
    expect(
        vera.page.locator(
            "#main input[type=submit], #main button[type=submit]:not([name=environment]):visible"
        )
    ).to_have_count(0)

    form = {
        "reason_code": "other",
        "reason": "x",
        "confirm": saga.business_id,
        "seen": f"{saga.pk}:{saga.revision}",
    }
    paths = [
        f"/admin/gateway/payment/{payment.pk}/refund/",
        *(f"/admin/sagas/sagainstance/operate/{operation.value}/" for operation in Operation),
        f"/admin/sagas/sagainstance/{saga.pk}/decide/",
        f"/admin/merchants/merchant/{acme.merchant.pk}/suspend/",
        "/admin/merchants/merchant/create/",
        f"/admin/merchants/apikey/{acme.test_key.key}/revoke/",
        "/admin/exports/export/new/",
        f"/admin/gateway/payment/{payment.pk}/change/",
        f"/admin/gateway/payment/{payment.pk}/delete/",
        "/admin/gateway/payment/add/",
    ]
    assert {path: vera.post_without_page(path, **form) for path in paths} == dict.fromkeys(paths, 403)
    saga.refresh_from_db()
    payment.refresh_from_db()
    assert (row_counts(), saga.revision, payment.status) == before
