"""Validates the credentials of an account by the fields that its channel declares, and seals them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from channels.base import AccountKind, CredentialField
from common.crypto import seal, unseal
from common.errors import ValidationFailed

# A key in PEM: RSA with 4096 bits has 3,272 characters. Much longer keys would keep a process busy with each call.
MAX_KEY_LENGTH = 5_000
MAX_LENGTH = 500


def validate_credentials(
    all_fields: Sequence[CredentialField], kind: AccountKind, given: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the credentials that were given, without empty ones. `all_fields` are those of every kind of account.

    Raises `ValidationFailed`, which names each wrong one as `credentials.<name>` and repeats no value.
    """
    declared = {field.name: field for field in all_fields if field.kind == kind}
    problems = {name: _describe_unknown(name, all_fields) for name in given if name not in declared}
    values = {}
    for name, field in declared.items():
        value = given.get(name, "")
        problem = _find_problem(field, value)
        if problem:
            problems[name] = problem
        elif value.strip():
            values[name] = value.strip()
    if problems:
        raise ValidationFailed({f"credentials.{name}": [problem] for name, problem in problems.items()})
    return values


def get_max_length(field: CredentialField) -> int:
    return MAX_KEY_LENGTH if field.is_multiline else MAX_LENGTH


def _describe_unknown(name: str, all_fields: Sequence[CredentialField]) -> str:
    """A merchant who could name a connected account would take the payments of a stranger's."""
    if any(field.name == name and field.kind == AccountKind.CONNECTED for field in all_fields):
        return _("Only the platform's staff can set this.")
    return _("This field is not known.")


def _find_problem(field: CredentialField, value: Any) -> str:
    if not isinstance(value, str):
        return _("Not a valid string.")
    if field.is_required and not value.strip():
        return _("This field is required.")
    max_length = get_max_length(field)
    if len(value) > max_length:
        return _("Ensure this field has no more than %(max)d characters.") % {"max": max_length}
    if not value.isascii():
        return _("Only ASCII characters are allowed.")  # they are sent in headers
    text = value.replace("\r", "").replace("\n", "") if field.is_multiline else value.strip()
    if not text.isprintable():
        return _("Control characters and text direction overrides are not allowed.")
    return ""


def seal_credentials(credentials: Mapping[str, str]) -> str:
    return seal(json.dumps(dict(credentials)))


def unseal_credentials(sealed: str) -> dict[str, str]:
    """Raises `SecretUnreadable`."""
    credentials: dict[str, str] = json.loads(unseal(sealed)) if sealed else {}
    return credentials
