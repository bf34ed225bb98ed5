"""The page of the dry run of routing: a form, and every candidate with the reason of its place."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from backoffice.renderers.route_decision import list_lines
from backoffice.services.route_dry_runs import ImaginedPayment, explain
from common.admin_forms import with_theme_widgets
from common.errors import FieldsRefused
from merchants.models import Environment


class ImaginedPaymentForm(forms.Form):
    merchant_email = forms.EmailField(label=gettext_lazy("Email of the merchant"))
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    amount_minor = forms.IntegerField(
        label=gettext_lazy("Amount, minor units"), min_value=1, max_value=10**15
    )
    currency = forms.CharField(label=gettext_lazy("Currency"), max_length=3)
    payment_method = forms.CharField(label=gettext_lazy("Payment method"), max_length=40, required=False)
    country = forms.CharField(label=gettext_lazy("Country"), max_length=2, required=False)
    card_brand = forms.CharField(label=gettext_lazy("Card brand"), max_length=20, required=False)
    card_bin = forms.CharField(label=gettext_lazy("First digits of the card"), max_length=8, required=False)
    order_no = forms.CharField(
        label=gettext_lazy("Order number"),
        help_text=gettext_lazy("The draw by weight depends on it."),
        max_length=64,
        required=False,
    )


def build_context(data: Any) -> dict[str, Any]:
    """The form, and with `data` its answer."""
    form = with_theme_widgets(ImaginedPaymentForm(data or None))
    context: dict[str, Any] = {"title": gettext_lazy("Try the routing rules"), "form": form, "lines": None}
    if form.is_valid():
        try:
            lines = list_lines(explain(ImaginedPayment(**form.cleaned_data)))
            context |= {"lines": lines, "chosen": next((line for line in lines if line.rank == "1"), None)}
        except FieldsRefused as refused:
            for field, text in refused.fields.items():
                form.add_error(field, text)
    return context
