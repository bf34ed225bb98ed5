"""The switch between test and live: it applies to every page, is stored per person, and each page names its
environment."""

from collections.abc import Callable

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from gateway.models import Payment, PaymentAttempt
from merchants.models import Environment
from orders.models import OrderItem
from sagas.models import SagaInstance, SagaStep
from staff.models import StaffPreferences
from tests.support import shop
from tests.support.signing import SignedClient
from tests.support.triggers import without_triggers

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
PAYMENTS = reverse("admin:gateway_payment_changelist")
SWITCH = reverse("staff_environment")


@pytest.fixture
def vera(sign_in: Callable[..., Client]) -> Client:
    return sign_in("vera", "view_*", "staff.export_rows")


@pytest.fixture
def both(client: SignedClient) -> dict[str, Payment]:
    """A test payment and a live payment with the same amount."""
    payments = {}
    for environment in Environment.values:
        payment = Payment.objects.get(
            payment_no=shop.opened(client, order_no=f"MODE-{environment}")["payment_no"]
        )
        payments[environment] = payment
    live = payments["live"]
    with without_triggers():
        Payment.objects.filter(pk=live.pk).update(environment="live")
        type(live.order).objects.filter(pk=live.order_id).update(environment="live")
        SagaInstance.objects.filter(business_id=live.payment_no).update(task_queue="live")
    return payments


def switch(browser: Client, environment: str, back: str = "/admin/") -> str:
    answer = browser.post(SWITCH, {"environment": environment, "next": back})
    assert answer.status_code == 302
    return answer["Location"]


def shown(browser: Client, **query: str) -> list[str]:
    return [row.order_no for row in browser.get(PAYMENTS, query).context["cl"].result_list]


@pytest.mark.parametrize("address", ["foo", "https://evil.example.com/", "//evil.example.com", ""])
def test_the_switch_leads_to_a_path_of_this_host(vera: Client, address: str) -> None:
    assert switch(vera, "live", address) == "/admin/"


def test_lists_show_the_chosen_environment_and_say_so(vera: Client, both: dict[str, Payment]) -> None:
    assert shown(vera) == ["MODE-test"]
    switch(vera, "live")
    assert shown(vera) == ["MODE-live"]
    (chip,) = vera.get(PAYMENTS).context["cl"].active_filters()
    assert (chip.value, chip.remove_url) == ("Live", "")
    (other,) = vera.get(PAYMENTS, {"environment": "test"}).context["cl"].active_filters()
    assert (other.value, "environment" in other.remove_url) == ("Test", False)
    sagas = vera.get(reverse("admin:sagas_sagainstance_changelist")).context["cl"].result_list
    assert {saga.business_id for saga in sagas} == {both["live"].payment_no}


def test_lists_of_what_belongs_to_a_payment_follow_the_switch(vera: Client, both: dict[str, Payment]) -> None:
    for environment in ("test", "live"):
        switch(vera, environment)
        payment = both[environment]
        steps = SagaStep.objects.filter(saga__business_id=payment.payment_no)
        for model, expected in (
            (PaymentAttempt, payment.attempts.all()),
            (OrderItem, payment.order.items.all()),
            (SagaStep, steps),
        ):
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
            rows = vera.get(address).context["cl"].result_list
            assert {row.pk for row in rows} == {row.pk for row in expected} != set(), model


def test_the_page_of_an_action_says_which_environment_it_is_about(
    sign_in: Callable[..., Client], both: dict[str, Payment]
) -> None:
    olga = sign_in("olga", "view_*", "sagas.operate_sagainstance")
    ids = dict(SagaInstance.objects.values_list("task_queue", "id"))
    operate = reverse("admin:sagas_sagainstance_operate", args=["mark_resolved"])
    of_live = olga.get(operate, {"id": str(ids["live"])}).content.decode()
    assert "This is live: real money. The switch is set to Test." in of_live
    of_both = olga.get(operate, {"id": [str(ids["live"]), str(ids["test"])]}).content.decode()
    assert "This page shows both." in of_both


def test_a_link_of_the_other_environment_works_and_offers_the_switch(
    vera: Client, both: dict[str, Payment]
) -> None:
    assert shown(vera, environment="live") == ["MODE-live"]
    assert sorted(shown(vera, environment="all")) == ["MODE-live", "MODE-test"]
    assert "The switch is set to Test" in vera.get(PAYMENTS, {"environment": "live"}).content.decode()
    here = reverse("admin:gateway_payment_change", args=[both["live"].pk])
    html = vera.get(here).content.decode()
    assert "This is live: real money. The switch is set to Test." in html
    assert "office-band-live" in html
    assert switch(vera, "live", here) == here
    assert "office-band" not in vera.get(here).content.decode()
    of_test = vera.get(reverse("admin:gateway_payment_change", args=[both["test"].pk])).content.decode()
    assert "This is test: no real money. The switch is set to Live." in of_test


def test_the_search_counts_what_is_in_the_other_environment(vera: Client, both: dict[str, Payment]) -> None:
    find = reverse("admin_find")
    answer = vera.get(find, {"q": "MODE", "part": "1"})
    titles = [result.title for group in answer.context["groups"] for result in group.results]
    assert titles == [both["test"].payment_no, "MODE-test"]
    assert answer.context["others"] == 2
    assert "Found in Live: 2" in answer.content.decode()
    both_shown = vera.get(find, {"q": "MODE", "part": "1", "environment": "all"})
    assert [len(group.results) for group in both_shown.context["groups"]] == [2, 2]
    # A complete number opens its page in either environment.
    exact = vera.get(find, {"q": both["live"].payment_no})
    assert exact["Location"] == reverse("admin:gateway_payment_change", args=[both["live"].pk])


def test_exports_name_the_environment_and_saved_views_follow_the_switch(
    vera: Client, both: dict[str, Payment]
) -> None:
    page = vera.get(PAYMENTS, {"status__exact": "pending"})
    assert page.context["export_list"] == "payments?status__exact=pending&environment=test"
    assert page.context["current_query"] == "status__exact=pending"
    page = vera.get(PAYMENTS, {"environment": "live"})
    assert page.context["current_query"] == "environment=live"


def test_the_switch_is_kept_per_person(vera: Client, sign_in: Callable[..., Client]) -> None:
    switch(vera, "live")
    assert StaffPreferences.objects.get(user__username="vera").environment == "live"
    assert "office-band" not in vera.get(reverse("admin:index")).content.decode()
    assert "office-band-test" in sign_in("sue", "view_*").get(reverse("admin:index")).content.decode()
    assert "office-band-test" in vera.get(reverse("admin:index"), {"environment": "test"}).content.decode()


@override_settings(LOCAL_STACK=False)
def test_in_production_a_newcomer_works_on_live(vera: Client) -> None:
    assert "office-band" not in vera.get(reverse("admin:index")).content.decode()


def test_the_switch_leads_back_without_what_belongs_to_the_other_environment(vera: Client) -> None:
    back = f"{PAYMENTS}?environment=test&older=abc&status__exact=pending"
    assert switch(vera, "live", back) == f"{PAYMENTS}?status__exact=pending"
    for strange in ("https://evil.example/", "//evil.example", "javascript:alert(1)", ""):
        assert switch(vera, "live", strange) == reverse("admin:index"), strange
    switch(vera, "prod")
    assert StaffPreferences.objects.get(user__username="vera").environment == "live"
    assert vera.get(SWITCH).status_code == 405


def test_a_merchants_page_shows_the_chosen_environment_and_what_the_role_may_see(
    vera: Client, sign_in: Callable[..., Client], both: dict[str, Payment]
) -> None:
    page = reverse("admin:merchants_merchant_change", args=[both["live"].merchant_id])
    titles = {panel.title: panel for panel in vera.get(page).context["page"].panels}
    assert {row[1] for row in titles["API keys"].rows} == {"Test"}
    panels = vera.get(page, {"environment": "all"}).context["page"].panels
    (keys,) = [panel for panel in panels if panel.title == "API keys"]
    assert {row[1] for row in keys.rows} == {"Test", "Live"}
    less = sign_in("less", "merchants.view_merchant", "gateway.view_payment").get(page).context["page"].panels
    assert [panel.columns[1] for panel in less] == ["payments", "kind"]
