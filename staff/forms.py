"""Forms of the pages of sign-in: the password and, for enrolled staff, a code; passkeys; open sessions."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from common.admin_forms import AuthenticationForm, with_theme_widgets
from staff import second_factor
from staff.break_glass import can_use_own_credentials
from staff.second_factor import CodeOutcome

SINGLE_SIGN_ON_ONLY = _("This account signs in with single sign-on only.")
CODE_MISSING = _("Enter the code from your authenticator app or a recovery code.")
CODE_WRONG = _(
    "This code is wrong or has been used. Wait for the next code. After several wrong codes the wait is longer."
)


class LoginForm(AuthenticationForm):
    otp_token = forms.CharField(
        label=_("Code from your authenticator app"),
        help_text=_("Leave empty if you have not enrolled one. A recovery code works, too."),
        required=False,
        max_length=32,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.provider_name = settings.OIDC_NAME if settings.OIDC_ISSUER else ""
        widgets = {name: self.fields[name].widget for name in ("username", "password")}
        with_theme_widgets(self)
        for name, widget in widgets.items():
            self.fields[name].widget = widget
        self.fields["otp_token"].widget.attrs |= {"autocomplete": "one-time-code", "inputmode": "text"}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        user: User = self.get_user()
        if not can_use_own_credentials(user):
            raise ValidationError(SINGLE_SIGN_ON_ONLY, code="single_sign_on_only")
        check = second_factor.check_code(user=user, token=cleaned.get("otp_token", ""))
        match check.outcome:
            case CodeOutcome.MISSING:
                raise ValidationError(CODE_MISSING, code="token_required")
            case CodeOutcome.WRONG:
                # Counts towards the lock-out of this address, like a wrong password.
                user_login_failed.send(
                    sender=__name__, credentials={"username": user.get_username()}, request=self.request
                )
                raise ValidationError(CODE_WRONG, code="invalid_token")
            case CodeOutcome.ACCEPTED:
                # django-otp reads this and marks the session as verified.
                user.otp_device = check.authenticator  # type: ignore[attr-defined]
        return cleaned


class PasskeyNameForm(forms.Form):
    name = forms.CharField(label=_("Name of the new passkey"), max_length=64)


class AddPasskeyForm(PasskeyNameForm):
    token = forms.CharField(
        label=_("Code, to confirm that it is you"),
        max_length=32,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )


class EndSessionsForm(forms.Form):
    """`reason` is required for the sessions of others."""

    reason = forms.CharField(label=_("Reason"), max_length=500, required=False)


class CodeForm(forms.Form):
    token = forms.CharField(
        label=_("Code from your authenticator app"),
        max_length=32,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )
