"""The form for a refund: in the currency's own decimals, never more than can be given back."""

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.admin import money_text
from common.admin_forms import amount_field, dressed
from common.ids import uuid7
from common.money import EXPONENTS
from gateway.models import Payment


class RefundForm(forms.Form):
    refund_id = forms.UUIDField(widget=forms.HiddenInput)
    amount = forms.DecimalField(label=gettext_lazy("Amount"))
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        max_length=255,
        help_text=gettext_lazy("The channel and the merchant can see it."),
    )

    def __init__(self, payment: Payment, data: Any = None) -> None:
        exponent = EXPONENTS[payment.currency]
        self._exponent = exponent
        most = Decimal(payment.refundable_minor).scaleb(-exponent)
        super().__init__(data, initial={"refund_id": uuid7(), "amount": most}, prefix="refund")
        self.fields["amount"] = amount_field(
            payment.currency,
            payment.refundable_minor,
            help_text=_("At most %(amount)s.")
            % {"amount": money_text(payment.refundable_minor, payment.currency)},
        )
        self.order_fields(["refund_id", "amount", "reason"])
        dressed(self)

    @property
    def key(self) -> uuid.UUID:
        value: uuid.UUID = self.cleaned_data["refund_id"]
        return value

    @property
    def amount_minor(self) -> int:
        return int(self.cleaned_data["amount"].scaleb(self._exponent))
