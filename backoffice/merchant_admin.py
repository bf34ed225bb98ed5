"""Merchants and their keys with what staff may do about them."""

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from backoffice.operation_pages import OperableAdmin, ReasonForm, Shown, StaffOperation
from backoffice.services import merchant_operations, merchant_panels
from common.errors import ApiError, OperationRefused
from merchants.admin import ApiKeyAdmin, MerchantAdmin
from merchants.models import ApiKey, KeyState, Merchant, MerchantStatus
from merchants.services import NewKey
from staff.roles import Permission

T = TypeVar("T")


class CreateForm(ReasonForm):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    email = forms.EmailField(label=gettext_lazy("Email"), max_length=254)


class RotateForm(ReasonForm):
    overlap_hours = forms.IntegerField(
        label=gettext_lazy("Overlap in hours"),
        help_text=gettext_lazy(
            "For so long the old key works beside the new one. 0 for a key that was stolen."
        ),
        min_value=0,
        max_value=30 * 24,
        initial=24,
    )


def _create(actor: User, _row: None, given: dict[str, Any]) -> Shown:
    created = _told(lambda: merchant_operations.create_merchant(actor=actor.get_username(), **given))
    return Shown(
        title=_("The keys of %(name)s") % {"name": created.merchant.name},
        rows=[*_rows(_("Test"), created.test_key), *_rows(_("Live"), created.live_key)],
        advice=_("Hand them over by a channel you trust. They are shown this one time and stored nowhere."),
    )


def _rotate(actor: User, key: ApiKey, given: dict[str, Any]) -> Shown:
    overlap = dt.timedelta(hours=given["overlap_hours"])
    rotation = _told(
        lambda: merchant_operations.rotate_key(
            key=key, overlap=overlap, actor=actor.get_username(), reason=given["reason"]
        )
    )
    return Shown(
        title=_("The successor of %(key)s") % {"key": rotation.old.hint},
        rows=_rows(key.get_environment_display(), rotation.new),
        advice=_("Hand them over by a channel you trust. They are shown this one time and stored nowhere."),
    )


def _revoke(actor: User, key: ApiKey, given: dict[str, Any]) -> None:
    _told(lambda: merchant_operations.revoke_key(key=key, actor=actor.get_username(), **given))


def _suspend(actor: User, merchant: Merchant, given: dict[str, Any]) -> None:
    _set_status(actor, merchant, MerchantStatus.SUSPENDED, given["reason"])


def _reactivate(actor: User, merchant: Merchant, given: dict[str, Any]) -> None:
    _set_status(actor, merchant, MerchantStatus.ACTIVE, given["reason"])


def _set_status(actor: User, merchant: Merchant, status: MerchantStatus, reason: str) -> None:
    _told(
        lambda: merchant_operations.set_merchant_status(
            merchant_id=merchant.pk, status=status, actor=actor.get_username(), reason=reason
        )
    )


def _rows(environment: str, new: NewKey) -> list[tuple[str, str]]:
    return [
        (_("%(environment)s key") % {"environment": environment}, new.key),
        (_("%(environment)s secret") % {"environment": environment}, new.secret),
    ]


def _told(call: Callable[[], T]) -> T:
    """A refusal of a service in words for staff, naming the fields where it does."""
    try:
        return call()
    except ApiError as error:
        details = [
            f"{name}: {' '.join(map(str, texts)) if isinstance(texts, list) else texts}"
            for name, texts in error.details.items()
        ]
        raise OperationRefused(" ".join([str(error.text), *details])) from error


def _may_be_suspended(merchant: Merchant) -> str:
    return "" if merchant.status == MerchantStatus.ACTIVE else _("This merchant is suspended.")


def _may_be_reactivated(merchant: Merchant) -> str:
    return _("This merchant is active.") if merchant.status == MerchantStatus.ACTIVE else ""


def _may_be_rotated(key: ApiKey) -> str:
    state = key.state_at(timezone.now())
    return "" if state == KeyState.ACTIVE else _("This key is: %(state)s.") % {"state": state.label}


def _may_be_revoked(key: ApiKey) -> str:
    return "" if key.revoked_at is None else _("This key is: %(state)s.") % {"state": KeyState.REVOKED.label}


admin.site.unregister([Merchant, ApiKey])


@admin.register(Merchant)
class CaredMerchantAdmin(OperableAdmin, MerchantAdmin):  # type: ignore[misc]  # unfold's mixins
    operations = (
        StaffOperation(
            "create",
            gettext_lazy("Create a merchant"),
            gettext_lazy("With a test key and a live key, whose secrets are shown once."),
            Permission.MANAGE_MERCHANTS,
            _create,
            CreateForm,
            on_object=False,
        ),
        StaffOperation(
            "suspend",
            gettext_lazy("Suspend"),
            gettext_lazy("Refuses every request of this merchant from now on. What has begun is finished."),
            Permission.MANAGE_MERCHANTS,
            _suspend,
            why_not=_may_be_suspended,
        ),
        StaffOperation(
            "reactivate",
            gettext_lazy("Reactivate"),
            gettext_lazy("Takes requests of this merchant again."),
            Permission.MANAGE_MERCHANTS,
            _reactivate,
            why_not=_may_be_reactivated,
        ),
    )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        shown = {"panels": merchant_panels.panels(merchant_id=found) if (found := _uuid(object_id)) else []}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})


@admin.register(ApiKey)
class CaredApiKeyAdmin(OperableAdmin, ApiKeyAdmin):  # type: ignore[misc]
    """Opening a key's page is written down: it bears a secret, even if none is on it."""

    operations = (
        StaffOperation(
            "rotate",
            gettext_lazy("Rotate"),
            gettext_lazy("Makes a successor with the same scopes, whose secret is shown once."),
            Permission.MANAGE_KEYS,
            _rotate,
            RotateForm,
            why_not=_may_be_rotated,
        ),
        StaffOperation(
            "revoke",
            gettext_lazy("Revoke"),
            gettext_lazy("Ends this key at once, even if it is the last one."),
            Permission.MANAGE_KEYS,
            _revoke,
            why_not=_may_be_revoked,
        ),
    )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if response.status_code == 200:
            audit.record_view(
                actor=request.user.get_username(),
                action=StaffActionType.KEY_VIEWED,
                object_type=ObjectType.API_KEY,
                object_id=unquote(object_id),
            )
        return response


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(unquote(text))
    except ValueError:
        return None
