"""The pages of channel accounts. Each channel that has accounts gets a form with the credentials that it declares."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, Perform, Performed
from backoffice.connected_account_actions import CONNECTED_ACCOUNT_ACTIONS, ConnectAccountForm
from backoffice.credential_forms import (
    CreateAccountForm,
    RotateCredentialsForm,
    errors_at_fields,
    split_credentials,
)
from backoffice.services import channel_account_operations
from channel_accounts.admin import ChannelAccountAdmin
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.base import AccountKind
from channels.registry import get_credential_fields, list_channel_names
from staff.roles import Permission


def _build_create(form: type[CreateAccountForm]) -> Perform:
    def create(actor: User, _row: None, data: dict[str, Any]) -> Performed:
        credentials, values = split_credentials(data)
        with errors_at_fields():
            account = channel_account_operations.create_account(
                channel=form.channel,
                kind=form.kind,
                credentials=credentials,
                actor=actor.get_username(),
                **values,
            )
        text = _("Account %(name)s added. %(result)s")
        return Performed(
            text % {"name": account.display_name, "result": account.get_last_check_result_display()}
        )

    return create


def _rotate(actor: User, account: StoredChannelAccount, data: dict[str, Any]) -> None:
    credentials, values = split_credentials(data)
    overlap = dt.timedelta(hours=values.pop("overlap_hours"))
    with errors_at_fields():
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


def _find_rotate_obstacle(account: StoredChannelAccount) -> str:
    return _("This account has no keys of its own.") if account.kind == AccountKind.CONNECTED else ""


def _build_create_actions() -> Iterator[AdminAction]:
    """One for each channel and kind of account."""
    for name in list_channel_names():
        kinds = {field.kind for field in get_credential_fields(name)}
        if AccountKind.OWN in kinds:
            form = type(f"CreateAccountForm_{name}", (CreateAccountForm,), {"channel": name})
            yield _build_create_action(f"add-{name}", gettext_lazy("Add account"), form)
        if AccountKind.CONNECTED in kinds:
            form = type(f"ConnectAccountForm_{name}", (ConnectAccountForm,), {"channel": name})
            yield _build_create_action(f"connect-{name}", gettext_lazy("Add connected account"), form)


def _build_create_action(name: str, label: Promise | str, form: type[CreateAccountForm]) -> AdminAction:
    return AdminAction(
        name,
        format_lazy("{}: {}", label, form.channel),
        gettext_lazy("The channel checks the credentials. From then on the account takes new payments."),
        Permission.MANAGE_CHANNEL_ACCOUNTS,
        _build_create(form),
        form,
        target=ActionTarget.LIST,
    )


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
            find_obstacle=_find_rotate_obstacle,
        ),
        *CONNECTED_ACCOUNT_ACTIONS,
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
