"""Forms of the actions of payouts."""

from django import forms
from django.utils.translation import gettext_lazy as _

from backoffice.actions.declaration import ReasonForm
from merchants.models import Environment
from payouts.bank_details import MAX_HOLDER_LENGTH
from payouts.models import BankAccountKind, DayCount, Schedule
from payouts.models.plans import BASIS_POINTS_PER_WHOLE, MAX_HOLD_DAYS

MAX_AMOUNT_MINOR = 10**15


class _MerchantForm(ReasonForm):
    merchant_email = forms.EmailField(label=_("Email of the merchant"))
    environment = forms.ChoiceField(label=_("Environment"), choices=Environment.choices, initial="live")


class _CurrencyField(forms.CharField):
    def __init__(self) -> None:
        super().__init__(label=_("Currency"), min_length=3, max_length=3)

    def clean(self, value: str) -> str:
        currency: str = super().clean(value)
        return currency.upper()


class NewRunForm(ReasonForm):
    environment = forms.ChoiceField(label=_("Environment"), choices=Environment.choices, initial="live")
    currency = _CurrencyField()
    merchant_email = forms.EmailField(
        label=_("Email of the merchant"), help_text=_("Empty: every merchant."), required=False
    )


class BankAccountForm(_MerchantForm):
    currency = _CurrencyField()
    kind = forms.ChoiceField(label=_("Kind"), choices=BankAccountKind.choices)
    holder = forms.CharField(label=_("Account holder"), max_length=MAX_HOLDER_LENGTH)
    account_no = forms.CharField(label=_("IBAN or account number"), max_length=50)
    bank_code = forms.CharField(
        label=_("BIC or CNAPS code"), max_length=20, required=False, help_text=_("A BIC may be left out.")
    )


class PlanForm(_MerchantForm):
    hold_days = forms.IntegerField(label=_("Hold in days"), min_value=0, max_value=MAX_HOLD_DAYS, initial=2)
    day_count = forms.ChoiceField(label=_("Days are"), choices=DayCount.choices, initial=DayCount.BUSINESS)
    time_zone = forms.CharField(label=_("Time zone"), max_length=50, initial="UTC")
    reserve_basis_points = forms.IntegerField(
        label=_("Reserve in basis points"), min_value=0, max_value=BASIS_POINTS_PER_WHOLE, initial=0
    )
    reserve_days = forms.IntegerField(
        label=_("Reserve in days"), min_value=0, max_value=MAX_HOLD_DAYS, initial=0
    )
    minimum_minor = forms.IntegerField(
        label=_("Smallest payout, minor units"), min_value=1, max_value=MAX_AMOUNT_MINOR, initial=1
    )
    schedule = forms.ChoiceField(label=_("Schedule"), choices=Schedule.choices)
    schedule_day = forms.IntegerField(
        label=_("Day of the schedule"),
        help_text=_(
            "Weekly: 1 is Monday, 7 is Sunday. Monthly: the day, or the last one of a shorter month."
        ),
        min_value=1,
        max_value=31,
        initial=1,
    )


class PaidForm(ReasonForm):
    arrival_date = forms.DateField(label=_("Arrival date"), required=False)
    bank_reference = forms.CharField(label=_("Reference of the bank"), max_length=100, required=False)


class CameBackForm(ReasonForm):
    code = forms.CharField(label=_("The bank's reason"), max_length=50, help_text=_("Such as AC04."))
    message = forms.CharField(label=_("The bank's text"), max_length=500, required=False)
    fee_minor = forms.IntegerField(
        label=_("Fee that the bank kept, minor units"), min_value=0, max_value=MAX_AMOUNT_MINOR, initial=0
    )
