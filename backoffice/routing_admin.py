"""Routing rules with what staff may do about them: add and end, never edit."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.operation_pages import OperableAdmin, ReasonForm, StaffOperation
from backoffice.services import routing_rules
from backoffice.services.routing_rules import RuleDraft
from channels.registry import list_channel_names
from gateway.admin import RoutingRuleAdmin
from gateway.models import RoutingRule
from merchants.models import Environment
from staff.roles import Permission

SMALLEST, LARGEST = -(2**31), 2**31 - 1  # of the column


class AddForm(ReasonForm):
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    channel = forms.ChoiceField(
        label=gettext_lazy("Channel"), choices=lambda: [(name, name) for name in list_channel_names()]
    )
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        help_text=gettext_lazy("The highest that matches is taken."),
        min_value=SMALLEST,
        max_value=LARGEST,
        initial=0,
    )
    weight = forms.IntegerField(
        label=gettext_lazy("Weight"),
        help_text=gettext_lazy("The share among the matching rules of the same priority."),
        min_value=1,
        max_value=1_000_000,
        initial=1,
    )
    merchant_email = forms.EmailField(
        label=gettext_lazy("Email of the merchant"),
        help_text=gettext_lazy("Empty: every merchant."),
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

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        return currency.upper()


def _add(actor: User, _row: None, given: dict[str, Any]) -> None:
    reason = given.pop("reason")
    routing_rules.add(draft=RuleDraft(**given), actor=actor.get_username(), reason=reason)


def _end(actor: User, rule: RoutingRule, given: dict[str, Any]) -> None:
    routing_rules.end(rule_id=rule.pk, actor=actor.get_username(), **given)


def _may_be_ended(rule: RoutingRule) -> str:
    return "" if rule.is_active else _("This rule has ended.")


admin.site.unregister(RoutingRule)


@admin.register(RoutingRule)
class StaffedRoutingRuleAdmin(OperableAdmin, RoutingRuleAdmin):  # type: ignore[misc]  # unfold's mixins
    operations = (
        StaffOperation(
            "new",
            gettext_lazy("New rule"),
            gettext_lazy("Holds for payments that are created from now on. A rule is never edited."),
            Permission.MANAGE_ROUTING,
            _add,
            AddForm,
            on_object=False,
        ),
        StaffOperation(
            "end",
            gettext_lazy("End"),
            gettext_lazy("Matches no more payments. Those that it routed stay where they are."),
            Permission.MANAGE_ROUTING,
            _end,
            why_not=_may_be_ended,
        ),
    )
