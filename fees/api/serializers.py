"""Request and response fields of statements."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import CreatedRangeQuery, CurrencyOutput
from fees.models import StatementPeriod
from ledger.api.serializers import SignedAmountOutput
from merchants.models import Environment


class StatementQuery(CreatedRangeQuery):
    period = serializers.ChoiceField(choices=StatementPeriod.choices, required=False)


class StatementFilesOutput(serializers.Serializer[Any]):
    csv = serializers.CharField()
    pdf = serializers.CharField()


class StatementOutput(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    period = serializers.ChoiceField(choices=StatementPeriod.choices)
    first_day = serializers.DateField(help_text=_("In UTC."))
    last_day = serializers.DateField()
    currency = CurrencyOutput()
    opening_balance = SignedAmountOutput(
        help_text=_("In minor units. The closing balance of the statement before.")
    )
    payments = SignedAmountOutput()
    refunds = SignedAmountOutput(
        help_text=_("Negative when money left the balance, as all of these amounts.")
    )
    disputes = SignedAmountOutput()
    fees = SignedAmountOutput()
    other = SignedAmountOutput(help_text=_("Everything else, such as payouts."))
    closing_balance = SignedAmountOutput(help_text=_("The opening balance and all amounts, added up."))
    transaction_count = serializers.IntegerField()
    csv_sha256 = serializers.CharField(help_text=_("SHA-256 of the CSV file."))
    files = StatementFilesOutput(
        help_text=_("Addresses of the statement's files, which need the same authentication.")
    )
    environment = serializers.ChoiceField(choices=Environment.choices)
    created_at = serializers.DateTimeField()
