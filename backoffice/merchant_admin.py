"""The pages of merchants and their API keys, with the admin actions on them."""

import datetime as dt
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit.action_types import ObjectType, StaffActionType
from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import ActionTarget, AdminAction, ReasonForm, ShownOnce
from backoffice.object_pages.merchant import build_merchant_page
from backoffice.services import merchant_operations
from merchants.admin import ApiKeyAdmin, MerchantAdmin
from merchants.models import ApiKey, KeyState, Merchant, MerchantStatus
from merchants.services import NewKey
from staff.preferences import list_shown_environments
from staff.roles import Permission


class CreateForm(ReasonForm):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    email = forms.EmailField(label=gettext_lazy("Email"), max_length=254)


class RotateForm(ReasonForm):
    overlap_hours = forms.IntegerField(
        label=gettext_lazy("Overlap in hours"),
        help_text=gettext_lazy("The old key stays valid for this time. Enter 0 for a stolen key."),
        min_value=0,
        max_value=30 * 24,
        initial=24,
    )


def _create(actor: User, _row: None, data: dict[str, Any]) -> ShownOnce:
    created = merchant_operations.create_merchant(actor=actor.get_username(), **data)
    return ShownOnce(
        title=_("The keys of %(name)s") % {"name": created.merchant.name},
        rows=[*_secrets(_("Test"), created.test_key), *_secrets(_("Live"), created.live_key)],
        advice=_("Hand them over through a trusted channel. They are shown only once and not stored."),
    )


def _rotate(actor: User, key: ApiKey, data: dict[str, Any]) -> ShownOnce:
    overlap = dt.timedelta(hours=data["overlap_hours"])
    rotation = merchant_operations.rotate_key(
        key=key, overlap=overlap, actor=actor.get_username(), reason=data["reason"]
    )
    return ShownOnce(
        title=_("New key in place of %(key)s") % {"key": rotation.old.hint},
        rows=_secrets(key.get_environment_display(), rotation.new),
        advice=_("Hand them over through a trusted channel. They are shown only once and not stored."),
    )


def _revoke(actor: User, key: ApiKey, data: dict[str, Any]) -> None:
    merchant_operations.revoke_key(key=key, actor=actor.get_username(), **data)


def _suspend(actor: User, merchant: Merchant, data: dict[str, Any]) -> None:
    _set_status(actor, merchant, MerchantStatus.SUSPENDED, data["reason"])


def _reactivate(actor: User, merchant: Merchant, data: dict[str, Any]) -> None:
    _set_status(actor, merchant, MerchantStatus.ACTIVE, data["reason"])


def _set_status(actor: User, merchant: Merchant, status: MerchantStatus, reason: str) -> None:
    merchant_operations.set_merchant_status(
        merchant_id=merchant.pk, status=status, actor=actor.get_username(), reason=reason
    )


def _secrets(environment: str, new: NewKey) -> list[tuple[str, str]]:
    return [
        (_("%(environment)s key") % {"environment": environment}, new.key),
        (_("%(environment)s secret") % {"environment": environment}, new.secret),
    ]


def _find_suspend_obstacle(merchant: Merchant) -> str:
    return "" if merchant.status == MerchantStatus.ACTIVE else _("This merchant is suspended.")


def _find_reactivate_obstacle(merchant: Merchant) -> str:
    return _("This merchant is active.") if merchant.status == MerchantStatus.ACTIVE else ""


def _find_rotate_obstacle(key: ApiKey) -> str:
    state = key.state_at(timezone.now())
    return (
        ""
        if state == KeyState.ACTIVE
        else _("The status of this key is: %(state)s.") % {"state": state.label}
    )


def _find_revoke_obstacle(key: ApiKey) -> str:
    return (
        ""
        if key.revoked_at is None
        else _("The status of this key is: %(state)s.") % {"state": KeyState.REVOKED.label}
    )


admin.site.unregister([Merchant, ApiKey])


@admin.register(Merchant)
class MerchantPageAdmin(ActionsAdmin, MerchantAdmin):  # type: ignore[misc]  # unfold's mixins
    change_form_outer_before_template = ""  # type: ignore[assignment]
    change_form_template = "backoffice/object_page.html"
    staff_actions = (
        AdminAction(
            "create",
            gettext_lazy("Create a merchant"),
            gettext_lazy(
                "Creates the merchant with a test key and a live key. Their secrets are shown once."
            ),
            Permission.MANAGE_MERCHANTS,
            _create,
            CreateForm,
            target=ActionTarget.LIST,
        ),
        AdminAction(
            "suspend",
            gettext_lazy("Suspend"),
            gettext_lazy(
                "Refuses all new requests of this merchant. Payments and refunds in progress are completed."
            ),
            Permission.MANAGE_MERCHANTS,
            _suspend,
            find_obstacle=_find_suspend_obstacle,
            is_destructive=True,
        ),
        AdminAction(
            "reactivate",
            gettext_lazy("Reactivate"),
            gettext_lazy("Accepts requests of this merchant again."),
            Permission.MANAGE_MERCHANTS,
            _reactivate,
            find_obstacle=_find_reactivate_obstacle,
        ),
    )

    def page_context(self, request: HttpRequest, row: Merchant) -> dict[str, Any]:
        environments = list_shown_environments(request)
        return {"page": build_merchant_page(row, environments=environments, user=request.user)}


@admin.register(ApiKey)
class ApiKeyPageAdmin(ActionsAdmin, ApiKeyAdmin):  # type: ignore[misc]
    """Opening a key's page is recorded: the key has a secret, although the page does not show it."""

    view_recorded_as = (StaffActionType.KEY_VIEWED, ObjectType.API_KEY)
    staff_actions = (
        AdminAction(
            "rotate",
            gettext_lazy("Rotate"),
            gettext_lazy("Creates a new key with the same scopes. Its secret is shown once."),
            Permission.MANAGE_KEYS,
            _rotate,
            RotateForm,
            find_obstacle=_find_rotate_obstacle,
        ),
        AdminAction(
            "revoke",
            gettext_lazy("Revoke"),
            gettext_lazy("Revokes this key at once, even if it is the merchant's last one."),
            Permission.MANAGE_KEYS,
            _revoke,
            find_obstacle=_find_revoke_obstacle,
            is_destructive=True,
        ),
    )
