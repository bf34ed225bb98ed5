import os
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.approvals import saga_operations
from backoffice.approvals.models import Approval
from backoffice.renderers import saga_text
from backoffice.services import saga_inspection
from common.errors import OperationRefused
from common.terminal import terminal_name, use_terminal_language
from sagas import graph
from sagas.models import SagaStatus


class Command(BaseCommand):
    help = (
        "Looks at sagas and operates them: list, show, graph, retry, ask, skip, compensate, resolve, cancel."
    )

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listed = actions.add_parser("list", help="The newest sagas, or those that need something.")
        listed.add_argument("--status", choices=SagaStatus.values, default="")
        listed.add_argument("--definition", default="", metavar="NAME")
        listed.add_argument("--attention", action="store_true", help="Only those that wait for a person.")
        listed.add_argument("--due", action="store_true", help="Only those that the next sweep picks up.")
        listed.add_argument("--limit", type=up_to_a_thousand, default=20, metavar="1-1000")
        show = actions.add_parser("show", help="All there is to know about one saga.")
        show.add_argument("name", metavar="ID", help="Saga id, payment number or refund number.")
        drawn = actions.add_parser("graph", help="Draws a definition.")
        drawn.add_argument("name", metavar="DEFINITION")
        for verb, operation in saga_text.COMMAND_OPERATIONS.items():
            act = actions.add_parser(verb, help=str(operation.label))
            act.add_argument("name", metavar="ID", help="Saga id, payment number or refund number.")
            act.add_argument("--reason", required=True)
            act.add_argument("--actor", default=logged_in(), help="Default: who is logged in here.")
            act.add_argument(
                "--revision", type=int, help="The revision you looked at. Default: the present one."
            )
            if verb == "skip":
                act.add_argument(
                    "--result", default="", metavar="JSON", help="What the step is to have answered."
                )
            if verb == "resolve":
                act.add_argument(
                    "--as",
                    default="",
                    dest="result",
                    metavar="ENDING",
                    help="What became of the payment or refund, as `graph` and `show` list it. "
                    "Default: watch, which decides nothing.",
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
                    story = saga_inspection.find_saga_details(name=options["name"])
                    self.stdout.write(saga_text.format_saga_details(story))
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
        done = saga_operations.operate_or_request_approval(
            operation=saga_text.COMMAND_OPERATIONS[verb],
            saga_id=saga.id,
            seen_revision=saga.revision if revision is None else revision,
            actor=terminal_name(actor),
            why=saga_operations.ActionReason(reason=reason),
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
