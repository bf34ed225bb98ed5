"""The page of the one-time link, on which a member of staff chooses a password."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView
from django.db import transaction
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from staff.sessions import delete_sessions


class InvitationView(PasswordResetConfirmView):
    """Setting the password invalidates the link and ends all sessions of the person."""

    template_name = "staff/invitation.html"
    title = _("Set your password")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **super().get_context_data(**kwargs)}

    def form_valid(self, form: "SetPasswordForm[User]") -> HttpResponse:
        with transaction.atomic():
            response = super().form_valid(form)
            delete_sessions(form.user)
            name = form.user.get_username()
            audit.record(
                actor=name,
                action=StaffActionType.STAFF_PASSWORD_SET,
                object_type=ObjectType.STAFF,
                object_id=name,
                reason="",
            )
        return response
