from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.approvals import late_payments as approvals
from backoffice.approvals.models import Approval
from backoffice.management.commands.saga import logged_in, up_to_a_thousand
from backoffice.services import late_payments
from backoffice.services.late_payments import PaymentReviewOperation
from common.errors import NotFound, OperationRefused
from common.terminal import terminal_name, use_terminal_language
from gateway.models import Payment
from gateway.services.payment_reviews import list_open_reviews

VERBS = {
    "refund": PaymentReviewOperation.REFUND_LATE_PAYMENT,
    "charge": PaymentReviewOperation.CHARGE_SUSPENSE,
    "resolve": PaymentReviewOperation.RESOLVE,
}


class Command(BaseCommand):
    help = "Payments that need review: list them, refund late money, charge suspense, resolve reviews."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        listed = actions.add_parser("list", help="Payments that need review, oldest first.")
        listed.add_argument("--limit", type=up_to_a_thousand, default=50, metavar="1-1000")
        for verb, operation in VERBS.items():
            act = actions.add_parser(verb, help=str(operation.label))
            act.add_argument("payment_no", metavar="PAYMENT_NO")
            act.add_argument("--reason", required=True)
            act.add_argument("--actor", default=logged_in(), help="Default: the login name in this terminal.")
            if operation is PaymentReviewOperation.RESOLVE:
                act.add_argument(
                    "--review",
                    default="",
                    metavar="CODE",
                    help="One open review, as `list` names it; default: all.",
                )

    @use_terminal_language()
    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            for payment in late_payments.payments_in_review(limit=options["limit"]):
                self.stdout.write(
                    f"{payment.payment_no}  {payment.status:<10} {payment.amount_minor:>12} {payment.currency}"
                    f"  {_reasons(payment)}"
                )
            return
        try:
            done = approvals.operate_or_request_approval(
                operation=VERBS[action],
                payment_no=options["payment_no"],
                actor=terminal_name(options["actor"]),
                reason=options["reason"],
                reviews=[options["review"]] if options.get("review") else [],
            )
        except NotFound as error:
            raise CommandError(f"There is no payment {options['payment_no']}.") from error
        except OperationRefused as error:
            raise CommandError(str(error)) from error
        if isinstance(done, Approval):
            self.stdout.write(
                f"{action}: requested. In the back office, on the payment's page, one account must adopt the request"
                " and another approve it."
            )
            return
        changes = [
            f"{name}: {done.before[name]} → {now}"
            for name, now in done.after.items()
            if done.before[name] != now
        ]
        self.stdout.write(f"{action}: done. {'; '.join(changes)}")


def _reasons(payment: Payment) -> str:
    found = [f"[{review.code}] {review.text}" for review in list_open_reviews(payment)]
    return "; ".join(found) or payment.attention_reason
