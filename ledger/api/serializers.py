"""Request and response fields of balances and balance transactions."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common.api.fields import CreatedRangeQuery, CurrencyOutput
from ledger.representation import BALANCE_TRANSACTION_TYPES
from merchants.models import Environment


class BalanceTransactionQuery(CreatedRangeQuery):
    type = serializers.ChoiceField(choices=list(BALANCE_TRANSACTION_TYPES), required=False)
    payout = serializers.CharField(
        max_length=40, required=False, help_text=_("Number of a payout: what it moved, and what came back.")
    )


@extend_schema_field({"type": "integer", "format": "int64"})
class SignedAmountOutput(serializers.IntegerField):
    """An amount in minor units that may be negative."""


class BalanceAmountOutput(serializers.Serializer[Any]):
    amount = SignedAmountOutput(help_text=_("In minor units; negative when you owe it."))
    currency = CurrencyOutput()


class BalanceOutput(serializers.Serializer[Any]):
    available = BalanceAmountOutput(many=True, help_text=_("What can be refunded or paid out."))
    pending = BalanceAmountOutput(
        many=True,
        help_text=_(
            "Reserved for refunds and payouts in progress. It becomes available again when they fail."
        ),
    )
    environment = serializers.ChoiceField(choices=Environment.choices)


class FeeDetailOutput(serializers.Serializer[Any]):
    type = serializers.ChoiceField(choices=["application_fee", "platform_fee"])
    amount = SignedAmountOutput(help_text=_("In minor units; negative when it was given back."))
    currency = CurrencyOutput()


class BalanceTransactionOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=list(BALANCE_TRANSACTION_TYPES))
    amount = SignedAmountOutput(
        help_text=_("In minor units, before the fee; negative when it left the balance.")
    )
    fee = SignedAmountOutput(help_text=_("The platform's fee; negative when it was given back."))
    fee_details = FeeDetailOutput(many=True, help_text=_("The parts of the fee. Empty without a fee."))
    net = SignedAmountOutput(help_text=_("The amount less the fee."))
    currency = CurrencyOutput()
    source = serializers.CharField(  # type: ignore[assignment]
        help_text=_("Number of the payment, attempt, refund, dispute or payout.")
    )
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
