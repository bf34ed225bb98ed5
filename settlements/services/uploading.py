"""Imports a statement that a person has: a file from the back office or a terminal. The fields are checked first, so
that a file does not become the statement of an account or day that it cannot belong to."""

import datetime as dt
from typing import BinaryIO

from django.utils.translation import gettext as _

from channel_accounts.models import StoredChannelAccount
from channels.registry import get_capabilities, list_channel_names
from common.clock import database_now
from common.errors import FieldsRefused
from settlements.models import StatementFormat
from settlements.parsers.base import StatementIdentity, StatementRefused
from settlements.parsers.registry import get_zone
from settlements.services.importing import ImportedStatement, import_statement


def upload_statement(
    *,
    file: BinaryIO,
    name: str,
    format: StatementFormat,
    identity: StatementIdentity,
    actor: str,
    reason: str,
) -> ImportedStatement:
    """Imports the file. A worker matches and posts it next. Raises `FieldsRefused`: nothing is stored."""
    check_identity(format=format, identity=identity)
    try:
        return import_statement(
            file=file,
            format=format,
            identity=identity,
            name=name,
            imported_by=actor,
            reason=reason,
            waits=False,
        )
    except StatementRefused as error:
        raise FieldsRefused({"file": str(error)}) from error


def check_identity(*, format: StatementFormat, identity: StatementIdentity) -> None:
    """Raises `FieldsRefused`."""
    wrong = {}
    if identity.channel not in list_channel_names():
        wrong["channel"] = _("There is no such channel.")
    elif format != StatementFormat.CSV and format not in get_capabilities(identity.channel).statement_formats:
        wrong["format"] = _("%(channel)s has no statements of this format.") % {"channel": identity.channel}
    if identity.channel_account_id is not None:
        accounts = StoredChannelAccount.objects.filter(
            channel=identity.channel, environment=identity.environment
        )
        if not accounts.filter(id=identity.channel_account_id).exists():
            wrong["channel_account"] = _("The channel has no such account.")
    if identity.day > _find_today(identity.channel):
        wrong["day"] = _("This day has not begun in the channel's time zone.")
    if wrong:
        raise FieldsRefused(wrong)


def _find_today(channel: str) -> dt.date:
    return database_now().astimezone(get_zone(channel)).date()
