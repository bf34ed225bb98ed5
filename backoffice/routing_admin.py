"""The pages of routing rules. Staff add and end rules; a rule is never edited."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import URLPattern
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice import route_page
from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.buttons import OfferedAction
from backoffice.actions.declaration import ActionTarget, AdminAction, ReasonForm
from backoffice.services import routing_rules
from backoffice.services.routing_rules import RuleDraft
from channels.registry import list_channel_names
from gateway.admin import RoutingRuleAdmin
from gateway.models import RoutingRule, RoutingStrategy
from merchants.models import Environment
from staff.roles import Permission

SMALLEST, LARGEST = -(2**31), 2**31 - 1  # of the column


class RuleForm(ReasonForm):
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    channel = forms.ChoiceField(
        label=gettext_lazy("Channel"), choices=lambda: [(name, name) for name in list_channel_names()]
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        help_text=gettext_lazy("The matching rule with the highest priority is used."),
        min_value=SMALLEST,
        max_value=LARGEST,
        initial=0,
    )
    weight = forms.IntegerField(
        label=gettext_lazy("Weight"),
        help_text=gettext_lazy("The share among matching rules of the same priority."),
        min_value=1,
        max_value=1_000_000,
        initial=1,
    )
    strategy = forms.ChoiceField(
        label=gettext_lazy("Strategy"),
        help_text=RoutingRule._meta.get_field("strategy").help_text,
        choices=RoutingStrategy.choices,
        initial=RoutingStrategy.WEIGHT,
    )
    merchant_email = forms.EmailField(
        label=gettext_lazy("Email of the merchant"),
        help_text=gettext_lazy("Empty: every merchant."),
        required=False,
    )
    channel_account = forms.CharField(
        label=gettext_lazy("Channel account"),
        help_text=gettext_lazy(
            "Its id. Empty: the newest account of the merchant at the channel, or the platform's."
        ),
        max_length=36,
        required=False,
    )
    payment_method = forms.CharField(
        label=gettext_lazy("Payment method"),
        help_text=gettext_lazy("Empty: every payment method."),
        max_length=40,
        required=False,
    )
    currency = forms.CharField(
        label=gettext_lazy("Currency"),
        help_text=gettext_lazy("Empty: every currency."),
        max_length=3,
        required=False,
    )
    min_amount_minor = forms.IntegerField(
        label=gettext_lazy("From this amount, minor units"), min_value=0, max_value=10**15, required=False
    )
    max_amount_minor = forms.IntegerField(
        label=gettext_lazy("Up to this amount, minor units"), min_value=0, max_value=10**15, required=False
    )

    country = forms.CharField(
        label=gettext_lazy("Country"),
        help_text=gettext_lazy("Of the customer. Empty: every country."),
        max_length=2,
        required=False,
    )
    card_brand = forms.CharField(
        label=gettext_lazy("Card brand"),
        help_text=gettext_lazy("Such as visa. Empty: every card."),
        max_length=20,
        required=False,
    )
    card_bin = forms.CharField(
        label=gettext_lazy("First digits of the card"),
        help_text=gettext_lazy("The first digits of the card number. Empty: every card."),
        max_length=8,
        required=False,
    )

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        return currency.upper()

    def clean_country(self) -> str:
        country: str = self.cleaned_data["country"]
        return country.upper()

    def clean_card_brand(self) -> str:
        card_brand: str = self.cleaned_data["card_brand"]
        return card_brand.lower()


def _add(actor: User, _row: None, data: dict[str, Any]) -> None:
    reason = data.pop("reason")
    routing_rules.add(draft=RuleDraft(**data), actor=actor.get_username(), reason=reason)


def _end(actor: User, rule: RoutingRule, data: dict[str, Any]) -> None:
    routing_rules.end(rule_id=rule.pk, actor=actor.get_username(), **data)


def _find_end_obstacle(rule: RoutingRule) -> str:
    return "" if rule.is_active else _("This rule has ended.")


@admin.register(RoutingRule)
class RoutingRulePageAdmin(ActionsAdmin, RoutingRuleAdmin):  # type: ignore[misc]  # unfold's mixins
    def get_urls(self) -> list[URLPattern]:
        return [self._path("try/", self.try_view, "try"), *super().get_urls()]

    def list_links(self, request: HttpRequest) -> list[OfferedAction]:
        description = _("Shows which channel account would take a payment, and why.")
        return [OfferedAction("try", _("Try the routing rules"), description, "", self._reverse("try"))]

    def try_view(self, request: HttpRequest) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**route_page.build_context(request.GET), "back": self._reverse("changelist")}
        return self._render(request, "backoffice/route_page.html", context)

    staff_actions = (
        AdminAction(
            "new",
            gettext_lazy("New rule"),
            gettext_lazy(
                "Applies to payments created from now on. A rule cannot be edited: end it and add another."
            ),
            Permission.MANAGE_ROUTING,
            _add,
            RuleForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "end",
            gettext_lazy("End rule"),
            gettext_lazy("Matches no new payments. Payments that it routed keep their channel."),
            Permission.MANAGE_ROUTING,
            _end,
            find_obstacle=_find_end_obstacle,
        ),
    )
