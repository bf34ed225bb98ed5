"""Request and response fields of payouts and of the payable balance."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import AmountOutput, CreatedRangeQuery, CurrencyOutput
from ledger.api.serializers import SignedAmountOutput
from merchants.models import Environment
from payouts.models import PayoutStatus


class PayoutQuery(CreatedRangeQuery):
    status = serializers.ChoiceField(choices=PayoutStatus.choices, required=False)


class PayoutOutput(serializers.Serializer[Any]):
    payout_no = serializers.CharField()
    amount = AmountOutput()
    currency = CurrencyOutput()
    status = serializers.ChoiceField(choices=PayoutStatus.choices)
    bank_account = serializers.CharField(help_text=_("The ends of its number."))
    arrival_date = serializers.DateField(
        allow_null=True, help_text=_("When the bank paid it, if it says so.")
    )
    bank_reference = serializers.CharField(allow_null=True)
    failure_code = serializers.CharField(
        allow_null=True, help_text=_("Why it was canceled, not paid or returned.")
    )
    failure_message = serializers.CharField(allow_null=True)
    return_fee = AmountOutput(help_text=_("What the bank kept of a payout that came back."))
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    settled_at = serializers.DateTimeField(
        allow_null=True, help_text=_("When the bank's answer was recorded.")
    )


class PayableAmountOutput(serializers.Serializer[Any]):
    currency = CurrencyOutput()
    payable = SignedAmountOutput(
        help_text=_(
            "What the next payout can pay; negative when you owe it: the next payments make up for it."
        )
    )
    on_hold = AmountOutput(help_text=_("Of payments that are not payable yet."))
    reserve = AmountOutput(help_text=_("What the reserve of your plan keeps back."))
    in_progress = AmountOutput(help_text=_("Refunds and payouts in progress."))
    total = SignedAmountOutput(help_text=_("What the platform holds for you."))


class PayableBalanceOutput(serializers.Serializer[Any]):
    balances = PayableAmountOutput(many=True)
    environment = serializers.ChoiceField(choices=Environment.choices)
