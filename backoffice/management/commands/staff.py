import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from common.errors import OperationRefused
from common.terminal import use_terminal_language
from staff import accounts
from staff.roles import Role


class Command(BaseCommand):
    help = "The first members of staff, before there is somebody who could invite them; written to the audit."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        invite = actions.add_parser("invite", help="Makes an account, and prints the link for its password.")
        invite.add_argument("username")
        invite.add_argument("--email", required=True)
        invite.add_argument("--role", action="append", required=True, choices=[role.value for role in Role])
        invite.add_argument("--reason", required=True)

    @use_terminal_language()
    def handle(
        self, *args: Any, username: str, email: str, role: list[str], reason: str, **options: Any
    ) -> None:
        try:
            invitation = accounts.invite_member(
                username=username,
                email=email,
                roles=[Role(name) for name in role],
                actor=f"terminal:{getpass.getuser()}",
                reason=reason,
                in_terminal=True,
            )
        except OperationRefused as refused:
            raise CommandError(str(refused)) from refused
        self.stdout.write(invitation.link)
