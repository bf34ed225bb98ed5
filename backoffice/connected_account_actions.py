"""Staff actions on connected accounts: correct the number, set the application fee."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import AdminAction, ReasonForm
from backoffice.credential_forms import (
    CreateAccountForm,
    CredentialsForm,
    errors_at_fields,
    split_credentials,
)
from backoffice.services import channel_account_operations
from channel_accounts.application_fees import ApplicationFee
from channel_accounts.models import StoredChannelAccount
from channels.base import AccountKind
from common.money import EXPONENTS, MAX_AMOUNT_MINOR, to_major_text
from staff.roles import Permission

_FIXED_PART = re.compile(r"([A-Za-z]{3}) +([0-9]{1,12}(?:\.[0-9]{1,3})?)")


class ConnectAccountForm(CreateAccountForm):
    kind = AccountKind.CONNECTED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["merchant_email"].required = True
        self.fields["merchant_email"].help_text = ""


class ChangeConnectedAccountForm(CredentialsForm):
    kind = AccountKind.CONNECTED


class ApplicationFeeForm(ReasonForm):
    percent = forms.DecimalField(
        label=gettext_lazy("Percent of the amount"), min_value=0, max_value=100, decimal_places=2
    )
    fixed = forms.CharField(
        label=gettext_lazy("Fixed amounts"),
        help_text=gettext_lazy("One for each currency, separated by commas, such as USD 0.30, JPY 40."),
        max_length=1000,
        required=False,
    )
    returns_fee_on_refund = forms.BooleanField(
        label=gettext_lazy("Give the fee back on refunds"),
        help_text=gettext_lazy("In proportion to the refunded amount. Otherwise the platform keeps the fee."),
        required=False,
    )

    def clean_fixed(self) -> dict[str, int]:
        """Returns the amounts in minor units, by currency."""
        amounts: dict[str, int] = {}
        for part in filter(None, (each.strip() for each in self.cleaned_data["fixed"].split(","))):
            match = _FIXED_PART.fullmatch(part)
            currency = match[1].upper() if match else ""
            if match is None or currency not in EXPONENTS or currency in amounts:
                raise forms.ValidationError(_("%(part)s is not a currency and an amount.") % {"part": part})
            amount = Decimal(match[2]).scaleb(EXPONENTS[currency])
            if amount != int(amount) or amount > MAX_AMOUNT_MINOR:
                raise forms.ValidationError(_("%(part)s has too many digits.") % {"part": part})
            amounts[currency] = int(amount)
        return amounts


def _change(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    credentials, values = split_credentials(data)
    with errors_at_fields():
        channel_account_operations.change_connected_account(
            account=account, credentials=credentials, actor=actor.get_username(), **values
        )


def _set_fee(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    channel_account_operations.set_application_fee(
        account=account,
        fee=ApplicationFee(int(data["percent"] * 100), data["fixed"]),
        returns_fee_on_refund=data["returns_fee_on_refund"],
        actor=actor.get_username(),
        reason=data["reason"],
    )


def _read_fee(account: StoredChannelAccount) -> Mapping[str, Any]:
    fixed = account.fee_fixed_minor.items()
    return {
        "percent": Decimal(account.fee_basis_points).scaleb(-2),
        "fixed": ", ".join(f"{currency} {to_major_text(amount, currency)}" for currency, amount in fixed),
        "returns_fee_on_refund": account.returns_fee_on_refund,
    }


def _find_obstacle(account: StoredChannelAccount) -> str:
    return "" if account.kind == AccountKind.CONNECTED else _("Only for connected accounts.")


CONNECTED_ACCOUNT_ACTIONS = (
    AdminAction(
        "change-connected",
        gettext_lazy("Change the connected account"),
        gettext_lazy(
            "Corrects the number of a disabled account that has no payment. The channel checks it first."
        ),
        Permission.MANAGE_CHANNEL_ACCOUNTS,
        _change,
        ChangeConnectedAccountForm,
        find_obstacle=_find_obstacle,
    ),
    AdminAction(
        "fee",
        gettext_lazy("Set the application fee"),
        gettext_lazy("What the platform takes of each payment that begins from now on."),
        Permission.MANAGE_CHANNEL_ACCOUNTS,
        _set_fee,
        ApplicationFeeForm,
        find_obstacle=_find_obstacle,
        initial=_read_fee,
    ),
)
