import datetime as dt
import os
import uuid
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels.registry import list_channel_names
from common.errors import FieldsRefused
from common.terminal import terminal_name
from settlements.models import StatementFormat
from settlements.parsers.base import StatementIdentity, StatementRefused
from settlements.services.importing import import_statement
from settlements.services.matching import settle_statement
from settlements.services.uploading import check_identity


class Command(BaseCommand):
    help = (
        "Imports a settlement statement of a channel, matches it with the ledger and posts its fees and payouts."
        " The same file is imported once; after a crash, repeat the command. Exit code 1: the file is refused, and"
        " nothing of it is stored."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--channel", required=True, choices=list_channel_names())
        parser.add_argument("--environment", required=True, choices=["test", "live"])
        parser.add_argument("--format", required=True, choices=StatementFormat.values)
        parser.add_argument(
            "--day",
            required=True,
            type=dt.date.fromisoformat,
            help="Day of the statement in the channel's time zone, such as 2026-01-24.",
        )
        parser.add_argument(
            "--account", type=uuid.UUID, help="Id of the channel account. Default: the platform's own."
        )
        parser.add_argument(
            "--actor",
            default=os.environ.get("SUDO_USER") or os.environ.get("USER", ""),
            help="Your name, for the audit log. Default: the login name in this terminal.",
        )

    def handle(
        self,
        *args: Any,
        path: Path,
        channel: str,
        environment: str,
        format: str,
        day: dt.date,
        account: uuid.UUID | None,
        actor: str,
        **options: Any,
    ) -> None:
        if not terminal_name(actor):
            raise CommandError("Name yourself with --actor: the audit log keeps who imports a statement.")
        identity = StatementIdentity(channel, environment, account, day)
        try:
            check_identity(format=StatementFormat(format), identity=identity)
            with path.open("rb") as file:
                imported = import_statement(
                    file=file,
                    format=StatementFormat(format),
                    identity=identity,
                    name=path.name,
                    imported_by=terminal_name(actor),
                    progress=self.stdout.write,
                )
        except FieldsRefused as error:
            raise CommandError("; ".join(map(str, error.fields.values()))) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from error
        except StatementRefused as error:
            raise CommandError(f"{path} is refused: {error}") from error
        if not imported.is_new:
            self.stdout.write("The statement was imported before.")
        settle_statement(file_id=imported.file.id, progress=self.stdout.write)
