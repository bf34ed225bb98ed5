"""Pages of the back office in a real browser: they are accessible, and the browser reports no error."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.urls import reverse

from backoffice.exports.models import Export
from gateway.models import Payment, Refund
from merchants.models import ApiKey, Merchant
from monitoring.models import ConsistencyRun
from monitoring.services import run_checks
from orders.models import Order
from sagas.models import SagaInstance
from tests.office.conftest import staff
from tests.office.test_second_person import make_saga_in_review
from tests.support import bank, shop
from tests.support.rows import leave_one_of_each

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True, databases=["default", "simulator"]),
]


OWN_LAYOUTS = (Payment, SagaInstance, Order, Merchant, ApiKey, Export, ConsistencyRun)


def find_barriers(page) -> list[str]:
    """Returns the serious and critical accessibility problems that axe finds."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:160]}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


OPERATOR = ("view_*", "sagas.operate_sagainstance", "staff.approve_operation")


def test_pages_are_accessible_in_each_language_and_theme(client, visit, settings) -> None:
    """No page has an error or a serious accessibility problem."""
    settings.LOCAL_STACK = True
    created = shop.paid(client, amount=123_456)
    shop.data(shop.refund(client, created, 3_456))
    shop.error(shop.create(client, "decline"), 402, "payment_declined")
    bank.deliver_webhooks(created["payment_no"])
    saga = make_saga_in_review(client, 2_000_000)
    run_checks()
    payment = Payment.objects.get(payment_no=created["payment_no"])
    pages = {
        "dashboard": "/admin/",
        "list": "/admin/gateway/payment/",
        "payment": f"/admin/gateway/payment/{payment.pk}/change/",
        "queue": "/admin/queue/",
        "refund": f"/admin/gateway/refund/{Refund.objects.get().pk}/change/",
        "merchant": f"/admin/merchants/merchant/{payment.merchant_id}/change/",
        "saga": f"/admin/sagas/sagainstance/{saga.pk}/change/",
    }
    ana = staff("ana", "staff.refund_payment", *OPERATOR)
    barriers: list[str] = []
    for language, theme in (("en", "light"), ("zh-hans", "dark"), ("zh-hans", "light"), ("en", "dark")):
        visitor = visit(ana, language, theme)
        for name, address in pages.items():
            page = visitor.go(address)
            visitor.save_picture(name)
            barriers += [f"{name} {language} {theme}: {each}" for each in find_barriers(page)]
        visitor.unfold("More actions")
        page.locator("[data-dialog=compensate-dialog]").click()
        page.locator("#compensate-dialog").wait_for()
        visitor.save_picture("dialog")
        barriers += [f"dialog {language} {theme}: {each}" for each in find_barriers(page)]
    assert not barriers, "\n".join(barriers)


def test_the_browser_refuses_nothing_on_any_page(client, visit) -> None:
    """Opens all lists and the pages with a layout of their own. At the end a forbidden script shows that the test would
    notice a refusal."""
    paid = shop.paid(client)
    shop.data(shop.refund(client, paid, 100))
    bank.deliver_webhooks(paid["payment_no"])
    leave_one_of_each()
    root = visit(User.objects.create_superuser("root"), "zh-hans", "dark")
    for model in (model for model in apps.get_models() if model in admin.site._registry):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        root.go(reverse(f"{name}_changelist"))
        if model in OWN_LAYOUTS and (row := model._default_manager.first()) is not None:
            root.go(reverse(f"{name}_change", args=[quote(row.pk)]))
    assert root.errors == []
    with root.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        root.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: '1'}))"
        )
    assert len(root.errors) == 1
    root.errors.clear()
