"""Every page of the admin in Chinese: it has no English word that is not a name."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import translation

from audit.models import StaffAction
from backoffice.renderers.payment_tabs import TABS
from gateway.models import Payment
from tests.support import bank, shop
from tests.support.rows import leave_one_of_each
from tests.support.signing import SignedClient
from webhooks.models import WebhookEndpoint

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

# Words that are the same in Chinese: names and identifiers.
NAMES = {
    "saga", "sagas", "api", "json", "id", "url", "http", "https", "usd", "jpy", "p50", "p95", "webhook", "admin",
    "pay", "ref", "order", "sim", "utc", "english", "root", "ms", "simulator", "stripe", "test", "live", "django",
    "alipay", "wechat", "paypal", "hans", "esc", "cidr", "idempotency", "key", "ips",
    "asia", "shanghai", "enter", "csv", "gone", "none", "true", "false", "null", "nonce", "e-mail", "uuid",
}  # fmt: skip
# Identifiers have random letters, which are no English words.
IDENTIFIER = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OURS = {
    "sagas",
    "merchants",
    "channel_accounts",
    "idempotency",
    "events",
    "orders",
    "gateway",
    "simulator",
    "webhooks",
    "audit",
    "monitoring",
    "approvals",
    "exports",
}


class Shown(HTMLParser):
    """Collects the texts that a person reads or hears. Texts for machines have elements of their own and are left
    out."""

    MACHINE = frozenset({"script", "style", "samp", "pre", "code", "textarea", "head"})
    SAID = frozenset({"aria-label", "placeholder", "title", "alt"})

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self._skipped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in self.MACHINE or "material-symbols-outlined" in (given.get("class") or ""):
            self._skipped.append(tag)
        elif not self._skipped:
            self.text += [value for name, value in attrs if name in self.SAID and value]

    def handle_endtag(self, tag: str) -> None:
        if self._skipped and self._skipped[-1] == tag:
            self._skipped.pop()

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.text.append(data)


def shown(html: str) -> str:
    parser = Shown()
    parser.feed(html)
    return " ".join(parser.text)


def words(value: Any) -> Iterator[str]:
    return iter(re.findall(r"[a-z]+", str(value).lower()))


def data_of(rows: Iterator[models.Model]) -> set[str]:
    """Returns the words of stored values, which are shown unchanged: definitions, types, numbers, reasons."""
    found: set[str] = set()
    for row in rows:
        for field in row._meta.concrete_fields:
            if not field.choices:
                found.update(words(getattr(row, field.attname)))
    return found


def test_every_column_is_called_in_chinese() -> None:
    """The names are checked by themselves, because data on a page may have the same word."""
    english = []
    with translation.override("zh-hans"):
        for model, its_admin in admin.site._registry.items():
            if model._meta.app_label not in OURS:
                continue
            for field in model._meta.concrete_fields:
                shown_to_staff = field.name not in (its_admin.exclude or ())
                if shown_to_staff and set(words(field.verbose_name)) - NAMES:
                    english.append(f"{model._meta.label}.{field.name}: {field.verbose_name}")
    assert not english


def test_no_english_on_any_page(client: SignedClient, settings) -> None:
    settings.LOCAL_STACK = True
    paid = shop.paid(client)
    shop.data(shop.refund(client, paid, 100))
    shop.error(shop.create(client, "decline"), 402, "payment_declined")
    bank.deliver_webhooks(paid["payment_no"])
    leave_one_of_each()
    Payment.objects.filter(payment_no=paid["payment_no"]).update(
        needs_attention=True, attention_reason="amounts"
    )
    browser = Client(headers={"accept-language": "zh-hans"})
    browser.force_login(User.objects.create_superuser("root"))
    ours = [
        model
        for model in apps.get_models()
        if model._meta.app_label in OURS and model in admin.site._registry
    ]
    names = NAMES | data_of(row for model in ours for row in model._default_manager.all())
    pages = [reverse("admin:index"), reverse("work_queue")]
    for model in ours:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        pages.append(reverse(f"{name}_changelist"))
        if (row := model._default_manager.first()) is not None:
            pages.append(reverse(f"{name}_change", args=[quote(row.pk)]))
    payment = Payment.objects.get(payment_no=paid["payment_no"])
    pages.append(reverse("admin:gateway_payment_refund", args=[payment.pk]))
    its_page = reverse("admin:gateway_payment_change", args=[payment.pk])
    pages += [f"{its_page}?tab={tab}" for tab in TABS]
    pages += [reverse("admin:gateway_routingrule_new"), reverse("admin:exports_export_new")]
    imagined = {"merchant_email": "", "environment": "test", "amount_minor": 1, "currency": "USD"}
    imagined["merchant_email"] = Payment.objects.get(payment_no=paid["payment_no"]).merchant.email
    pages.append(reverse("admin:gateway_routingrule_try", query=imagined))
    endpoint = WebhookEndpoint.objects.get()
    pages.append(reverse("admin:webhooks_webhookendpoint_test", args=[endpoint.pk]))
    english: dict[str, str] = {}
    for page in pages:
        answer = browser.get(page)
        assert answer.status_code == 200
        for word in words(IDENTIFIER.sub(" ", shown(answer.content.decode()))):
            if len(word) > 2 and word not in names:
                english.setdefault(word, page.split("/change")[0])
    # Opening a page with a secret is recorded in the audit log, which the next page shows.
    for word in data_of(iter(StaffAction.objects.all())):
        english.pop(word, None)
    assert not english, "\n".join(f"{word} on {page}" for word, page in sorted(english.items()))
