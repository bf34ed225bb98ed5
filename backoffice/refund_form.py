"""The form for a refund: in the currency's own decimals, at most the refundable amount."""

from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import ReasonForm
from common.admin import money_text
from common.admin_forms import amount_field
from common.ids import uuid7
from common.money import EXPONENTS


class RefundForm(ReasonForm):
    """`refund_id` identifies the refund before it exists: a form that is sent twice makes one refund."""

    prefix = "refund"
    field_order = ("refund_id", "amount", "reason")
    refund_id = forms.UUIDField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=255,
        help_text=gettext_lazy("The channel and the merchant can see it."),
    )

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        (payment,) = kwargs["rows"]
        exponent = EXPONENTS[payment.currency]
        refundable = Decimal(payment.refundable_minor).scaleb(-exponent)
        kwargs["initial"] = {**kwargs.get("initial", {}), "refund_id": uuid7(), "amount": refundable}
        super().__init__(data, **kwargs)
        self.fields["amount"] = amount_field(
            payment.currency,
            payment.refundable_minor,
            help_text=_("At most %(amount)s.")
            % {"amount": money_text(payment.refundable_minor, payment.currency)},
        )
        self.order_fields(self.field_order)
