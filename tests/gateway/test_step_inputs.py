"""`saga_steps.execute_data` of a payment and a refund: filled for each step, shown to staff, and free of secrets."""

import json

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse

from sagas.models import SagaStep
from sagas.step_input import MAX_BYTES
from tests.support import background
from tests.support.shop import create, data, new_no, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

SECRETS = ("4242424242424242", "sk_live_abcdef123456", "hunter2secret")


def test_the_steps_of_a_payment_have_their_input(client: SignedClient) -> None:
    payment = data(
        create(
            client,
            key=new_no("key"),
            subject="Card 4242424242424242",
            body="sk_live_abcdef123456",
            callback_url="https://shop.example/hook?token=hunter2secret",
            metadata={"note": "password: hunter2secret"},
        )
    )
    saga = background.saga_of(payment["payment_no"], "payment.create")
    inputs = dict(SagaStep.objects.filter(saga=saga).values_list("step_name", "execute_data"))
    assert set(inputs) == {"CreateOrder", "CallPaymentChannel", "ActivatePayment"}
    for given in inputs.values():
        assert given["data"]["order_no"] == payment["order_no"]
        assert given["data"]["amount_minor"] == payment["amount"]
        assert len(json.dumps(given)) <= MAX_BYTES
    assert inputs["CallPaymentChannel"]["key"] == f"{saga.pk}:CallPaymentChannel:forward"
    assert inputs["ActivatePayment"]["results"]["CallPaymentChannel"]["state"] == "open"
    text = json.dumps(inputs)
    assert not [secret for secret in SECRETS if secret in text]
    assert payment["payment_url"] not in text


def test_the_steps_of_a_refund_have_their_input(client: SignedClient) -> None:
    created_refund = data(refund(client, paid(client), 4_000))
    saga = background.saga_of(created_refund["refund_no"], "refund.create")
    for given in SagaStep.objects.filter(saga=saga).values_list("execute_data", flat=True):
        assert given["data"]["amount_minor"] == 4_000


def test_staff_see_the_input_in_the_download_and_on_the_page(client: SignedClient, settings) -> None:
    settings.STAFF_OTP_REQUIRED = False
    payment = data(create(client, key=new_no("key"), subject="Card 4242424242424242"))
    saga = background.saga_of(payment["payment_no"], "payment.create")
    browser = Client()
    browser.force_login(get_user_model().objects.create_superuser("root", "root@example.com", "x"))
    download = browser.get(reverse("admin:sagas_sagainstance_json", args=[saga.pk]))
    assert "4242424242424242" not in download.content.decode()
    steps = download.json()["saga"]["steps"]
    assert [step["execute_data"]["data"]["payment_no"] for step in steps] == [payment["payment_no"]] * 3
    page = browser.get(reverse("admin:sagas_sagainstance_change", args=[saga.pk])).content.decode()
    assert f"{saga.pk}:CallPaymentChannel:forward" in page
    assert "Card [card]" in page
