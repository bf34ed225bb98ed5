"""Forms that ask for the credentials of a channel account: the fields that its channel declares."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import ReasonForm
from channel_accounts.credentials import get_max_length
from channels.base import AccountKind, CredentialField
from channels.registry import get_credential_fields
from common.errors import FieldsRefused, ValidationFailed
from merchants.models import Environment

PREFIX = "credential_"


class WriteOnlyField(forms.CharField):
    """A field that never shows its value again, not even when the form has an error."""

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
    """The subclass of a channel sets `channel`; the form of an existing account has the account in `rows`. `kind` is
    that of the account whose credentials are asked for."""

    channel = ""
    kind = AccountKind.OWN

    save_unchecked = forms.BooleanField(
        label=gettext_lazy("Save unchecked"),
        help_text=gettext_lazy("Save the credentials also when the channel does not answer the check."),
        required=False,
    )

    def __init__(self, data: Any = None, *, rows: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(data, rows=rows, **kwargs)
        own = {name: self.fields.pop(name) for name in ("save_unchecked", "reason")}
        for field in get_credential_fields(rows[0].channel if rows else self.channel):
            if field.kind == self.kind:
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


def split_credentials(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The credentials by their names, and the other values."""
    credentials = {
        name.removeprefix(PREFIX): value for name, value in data.items() if name.startswith(PREFIX)
    }
    return credentials, {name: value for name, value in data.items() if not name.startswith(PREFIX)}


@contextmanager
def errors_at_fields() -> Iterator[None]:
    """Shows what a service finds wrong with a credential at its field of the form."""
    try:
        yield
    except ValidationFailed as error:
        texts = {name: " ".join(map(str, problems)) for name, problems in error.details.items()}
        raise FieldsRefused(
            {name.replace("credentials.", PREFIX, 1): text for name, text in texts.items()}
        ) from error
