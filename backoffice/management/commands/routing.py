from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.management.commands.saga import logged_in
from backoffice.services import routing_rules
from backoffice.services.routing_rules import RuleDraft
from common.errors import OperationRefused
from common.terminal import terminal_name, use_terminal_language
from gateway.models import RoutingRule, RoutingStrategy
from merchants.models import Environment


class Command(BaseCommand):
    help = "Lists, adds and ends routing rules, which choose the channel of a payment that names none."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        actions.add_parser("list", help="Lists the active rules in the order in which they are tried.")
        add = actions.add_parser("add", help="Adds a rule. An option that is left out matches everything.")
        add.add_argument("channel")
        add.add_argument("--environment", required=True, choices=Environment.values)
        add.add_argument(
            "--priority", type=int, default=0, help="The matching rule with the highest priority is used."
        )
        add.add_argument("--weight", type=int, default=1, help="The share among rules of one priority.")
        add.add_argument(
            "--strategy",
            choices=RoutingStrategy.values,
            default=RoutingStrategy.WEIGHT.value,
            help="How rules of one priority are ordered: by success rate when one of them says so.",
        )
        add.add_argument("--merchant", default="", metavar="EMAIL")
        add.add_argument("--currency", default="")
        add.add_argument("--min-amount", type=int, help="In minor units; needs --currency.")
        add.add_argument("--max-amount", type=int, help="In minor units; needs --currency.")
        add.add_argument(
            "--account", default="", metavar="ID", help="A channel account; else the merchant's."
        )
        add.add_argument("--method", default="", help="A payment method, such as card.")
        add.add_argument("--country", default="", help="The customer's, as two letters.")
        add.add_argument("--card-brand", default="", help="Such as visa.")
        add.add_argument("--card-bin", default="", help="The first digits of the card number.")
        end = actions.add_parser("end", help="Ends a rule: it matches no further payments.")
        end.add_argument("rule", type=int)
        for act in (add, end):
            act.add_argument("--reason", required=True)
            act.add_argument("--actor", default=logged_in(), help="Default: the login name in this terminal.")

    @use_terminal_language()
    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            rules = RoutingRule.objects.filter(is_active=True).select_related("merchant")
            for rule in rules.order_by("environment", "-priority", "pk"):
                self.stdout.write(_line(rule))
            return
        why = {"actor": terminal_name(options["actor"]), "reason": options["reason"]}
        try:
            if action == "end":
                routing_rules.end(rule_id=options["rule"], **why)
                self.stdout.write(f"Rule {options['rule']} has ended.")
                return
            rule = routing_rules.add(draft=_draft(options), **why)
        except OperationRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_line(rule))


def _draft(options: dict[str, Any]) -> RuleDraft:
    return RuleDraft(
        environment=options["environment"],
        channel=options["channel"],
        priority=options["priority"],
        weight=options["weight"],
        merchant_email=options["merchant"],
        currency=options["currency"].upper(),
        min_amount_minor=options["min_amount"],
        max_amount_minor=options["max_amount"],
        strategy=options["strategy"],
        channel_account=options["account"],
        payment_method=options["method"],
        country=options["country"].upper(),
        card_brand=options["card_brand"].lower(),
        card_bin=options["card_bin"],
    )


def _line(rule: RoutingRule) -> str:
    low, high = rule.min_amount_minor, rule.max_amount_minor
    amounts = "any amount" if low is None and high is None else f"{low or 0} to {high or 'any'}"
    who = rule.merchant.email if rule.merchant else "every merchant"
    card = f"card {rule.card_brand} {rule.card_bin}".strip() if rule.card_brand or rule.card_bin else ""
    country = f"country {rule.country}" if rule.country else ""
    account = f"account {rule.channel_account_id}" if rule.channel_account_id else ""
    conditions = (rule.payment_method, rule.currency or "any currency", amounts, country, card, account, who)
    return (
        f"{rule.pk:>5}  {rule.environment:<4}  priority {rule.priority:<4} {rule.strategy} {rule.weight:<5} "
        f"{rule.channel:<12} {', '.join(filter(None, conditions))}"
    )
