"""The pages of channel accounts. Each channel that has accounts gets a form with the credentials that it declares."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction, Perform, Performed, ReasonForm, Scope
from backoffice.services import channel_account_operations
from channel_accounts.admin import ChannelAccountAdmin
from channel_accounts.credentials import get_max_length
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.base import CredentialField
from channels.registry import get_credential_fields, list_channel_names
from common.errors import FieldsRefused, ValidationFailed
from merchants.models import Environment
from staff.roles import Permission

PREFIX = "credential_"


class WriteOnlyField(forms.CharField):
    """What was entered is never shown again, not even when the form has an error."""

    def bound_data(self, data: Any, initial: Any) -> str:
        return ""


def _build_credential_field(field: CredentialField) -> forms.CharField:
    kind = WriteOnlyField if field.is_secret else forms.CharField
    widget = forms.Textarea if field.is_multiline else forms.TextInput
    return kind(
        label=_(field.label),
        help_text=_(field.help_text) if field.help_text else "",
        required=field.is_required,
        max_length=get_max_length(field),
        widget=widget(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )


class CredentialsForm(ReasonForm):
    """The subclass of a channel sets `channel`; the form of an existing account has the account in `rows`."""

    channel = ""

    save_unchecked = forms.BooleanField(
        label=gettext_lazy("Save unchecked"),
        help_text=gettext_lazy("Save the credentials also when the channel does not answer the check."),
        required=False,
    )

    def __init__(self, data: Any = None, *, rows: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(data, rows=rows, **kwargs)
        own = {name: self.fields.pop(name) for name in ("save_unchecked", "reason")}
        for field in get_credential_fields(rows[0].channel if rows else self.channel):
            self.fields[f"{PREFIX}{field.name}"] = _build_credential_field(field)
        self.fields.update(own)


class CreateAccountForm(CredentialsForm):
    environment = forms.ChoiceField(label=gettext_lazy("Environment"), choices=Environment.choices)
    merchant_email = forms.EmailField(
        label=gettext_lazy("Email of the merchant"),
        help_text=gettext_lazy(
            "Empty: an account of the platform, for merchants that have none of their own."
        ),
        required=False,
    )
    display_name = forms.CharField(label=gettext_lazy("Display name"), max_length=100)


class RotateCredentialsForm(CredentialsForm):
    overlap_hours = forms.IntegerField(
        label=gettext_lazy("Overlap in hours"),
        help_text=gettext_lazy(
            "For this time, webhooks that are signed with the previous credentials are accepted as well."
        ),
        min_value=0,
        max_value=30 * 24,
        initial=24,
    )


def _split_credentials(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The credentials by their names, and the other values."""
    credentials = {
        name.removeprefix(PREFIX): value for name, value in data.items() if name.startswith(PREFIX)
    }
    return credentials, {name: value for name, value in data.items() if not name.startswith(PREFIX)}


@contextmanager
def _errors_at_fields() -> Iterator[None]:
    """Shows what a service finds wrong with a credential at its field of the form."""
    try:
        yield
    except ValidationFailed as error:
        texts = {name: " ".join(map(str, problems)) for name, problems in error.details.items()}
        raise FieldsRefused(
            {name.replace("credentials.", PREFIX, 1): text for name, text in texts.items()}
        ) from error


def _build_create(channel: str) -> Perform:
    def create(actor: User, _row: None, data: dict[str, Any]) -> Performed:
        credentials, values = _split_credentials(data)
        with _errors_at_fields():
            account = channel_account_operations.create_account(
                channel=channel, credentials=credentials, actor=actor.get_username(), **values
            )
        text = _("Account %(name)s added. %(result)s")
        return Performed(
            text % {"name": account.display_name, "result": account.get_last_check_result_display()}
        )

    return create


def _rotate(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    credentials, values = _split_credentials(data)
    overlap = dt.timedelta(hours=values.pop("overlap_hours"))
    with _errors_at_fields():
        channel_account_operations.rotate_credentials(
            account=account, credentials=credentials, overlap=overlap, actor=actor.get_username(), **values
        )


def _check(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> Performed:
    result = channel_account_operations.check_account(
        account=account, actor=actor.get_username(), reason=data["reason"]
    )
    return Performed(_("Result of the check: %(result)s") % {"result": result.label})


def _disable(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    _set_status(actor, account, AccountStatus.DISABLED, data["reason"])


def _enable(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    _set_status(actor, account, AccountStatus.ACTIVE, data["reason"])


def _set_status(actor: User, account: StoredChannelAccount, status: AccountStatus, reason: str) -> None:
    channel_account_operations.set_account_status(
        account_id=account.pk, status=status, actor=actor.get_username(), reason=reason
    )


def _find_disable_obstacle(account: StoredChannelAccount) -> str:
    return "" if account.status == AccountStatus.ACTIVE else _("This account is disabled.")


def _find_enable_obstacle(account: StoredChannelAccount) -> str:
    return _("This account is active.") if account.status == AccountStatus.ACTIVE else ""


def _build_create_actions() -> list[AdminAction]:
    """One for each channel that has accounts."""
    return [
        AdminAction(
            f"add-{name}",
            format_lazy("{}: {}", gettext_lazy("Add account"), name),
            gettext_lazy("The channel checks the credentials. From then on the account takes new payments."),
            Permission.MANAGE_CHANNEL_ACCOUNTS,
            _build_create(name),
            type(f"CreateAccountForm_{name}", (CreateAccountForm,), {"channel": name}),
            scope=Scope.LIST,
        )
        for name in list_channel_names()
        if get_credential_fields(name)
    ]


admin.site.unregister(StoredChannelAccount)


@admin.register(StoredChannelAccount)
class ChannelAccountPageAdmin(ActionsAdmin, ChannelAccountAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        *_build_create_actions(),
        AdminAction(
            "check",
            gettext_lazy("Check credentials"),
            gettext_lazy("Calls the channel with the credentials. The call changes nothing."),
            Permission.MANAGE_CHANNEL_ACCOUNTS,
            _check,
        ),
        AdminAction(
            "rotate",
            gettext_lazy("Rotate credentials"),
            gettext_lazy("Replaces all credentials. The channel checks the new ones first."),
            Permission.MANAGE_CHANNEL_ACCOUNTS,
            _rotate,
            RotateCredentialsForm,
        ),
        AdminAction(
            "disable",
            gettext_lazy("Disable"),
            gettext_lazy("Takes no new payments. Existing ones are still captured, cancelled and refunded."),
            Permission.MANAGE_CHANNEL_ACCOUNTS,
            _disable,
            find_obstacle=_find_disable_obstacle,
        ),
        AdminAction(
            "enable",
            gettext_lazy("Enable"),
            gettext_lazy("Takes new payments again."),
            Permission.MANAGE_CHANNEL_ACCOUNTS,
            _enable,
            find_obstacle=_find_enable_obstacle,
        ),
    )
