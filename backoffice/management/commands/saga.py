import os
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.approvals import saga_approvals
from backoffice.approvals.models import Approval
from backoffice.renderers import saga_text
from backoffice.services import saga_inspection
from common.errors import OperationRefused
from common.terminal import terminal_name, use_terminal_language
from sagas import graph
from sagas.models import SagaStatus


class Command(BaseCommand):
    help = "Shows and operates sagas: list, show, graph, retry, query, skip, compensate, resolve, cancel."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listed = actions.add_parser("list", help="Lists the newest sagas, with filters.")
        listed.add_argument("--status", choices=SagaStatus.values, default="")
        listed.add_argument("--definition", default="", metavar="NAME")
        listed.add_argument("--attention", action="store_true", help="Only sagas that need review.")
        listed.add_argument("--due", action="store_true", help="Only sagas that a worker may claim now.")
        listed.add_argument("--limit", type=up_to_a_thousand, default=20, metavar="1-1000")
        show = actions.add_parser("show", help="Shows one saga with its steps and hidetails.")
        show.add_argument("name", metavar="ID", help="Saga id, payment number or refund number.")
        drawn = actions.add_parser("graph", help="Draws a definition.")
        drawn.add_argument("name", metavar="DEFINITION")
        for verb, operation in saga_text.COMMAND_OPERATIONS.items():
            act = actions.add_parser(verb, help=str(operation.label))
            act.add_argument("name", metavar="ID", help="Saga id, payment number or refund number.")
            act.add_argument("--reason", required=True)
            act.add_argument("--actor", default=logged_in(), help="Default: the login name in this terminal.")
            act.add_argument(
                "--revision", type=int, help="The revision that you have seen. Default: the current one."
            )
            if verb == "skip":
                act.add_argument(
                    "--result", default="", metavar="JSON", help="The result that the step gets."
                )
            if verb == "resolve":
                act.add_argument(
                    "--as",
                    default="",
                    dest="result",
                    metavar="RESOLUTION",
                    help="The resolution, one of those that `graph` and `show` list. "
                    "Default: watch, which changes no payment or refund.",
                )

    @use_terminal_language()
    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            match action:
                case "list":
                    asked = ("status", "definition", "attention", "due", "limit")
                    sagas = saga_inspection.list_sagas(**{name: options[name] for name in asked})
                    if options["definition"] and not sagas:
                        saga_inspection.find_definition(name=options["definition"])
                    self.stdout.write(saga_text.format_sagas(sagas))
                case "show":
                    details = saga_inspection.find_saga_details(name=options["name"])
                    self.stdout.write(saga_text.format_saga_details(details))
                case "graph":
                    definition = saga_inspection.find_definition(name=options["name"])
                    self.stdout.write(graph.draw_definition(definition))
                case verb:
                    self._operate(verb, **options)
        except OperationRefused as error:
            raise CommandError(str(error)) from error

    def _operate(
        self,
        verb: str,
        *,
        name: str,
        reason: str,
        actor: str,
        revision: int | None,
        result: str = "",
        **_options: Any,
    ) -> None:
        if not actor.strip():
            raise CommandError("--actor is missing: nobody is logged in here by name.")
        saga = saga_inspection.find_saga(name=name)
        done = saga_approvals.operate_or_request_approval(
            operation=saga_text.COMMAND_OPERATIONS[verb],
            saga_id=saga.id,
            seen_revision=saga.revision if revision is None else revision,
            actor=terminal_name(actor),
            why=saga_approvals.ActionReason(reason=reason),
            result=result,
        )
        if isinstance(done, Approval):
            self.stdout.write(
                f"{verb}: requested. In the back office, on the saga's page, one account must adopt the request"
                " and another approve it."
            )
            return
        self.stdout.write(f"{verb}: done. {saga_text.format_changes(done)}")


def up_to_a_thousand(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 1000:
        return int(text)
    raise ArgumentTypeError(f"{text!r} is not between 1 and 1000")


def logged_in() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER", "")
