from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.renderers.route_decision import list_lines
from backoffice.services.route_dry_runs import ImaginedPayment, explain
from common.errors import FieldsRefused
from common.terminal import use_terminal_language
from merchants.models import Environment


class Command(BaseCommand):
    help = "Shows which channel account would take a payment, and why. Nothing is written or called."

    @use_terminal_language()
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--merchant", required=True, metavar="EMAIL")
        parser.add_argument("--environment", choices=Environment.values, default=Environment.TEST.value)
        parser.add_argument("--amount", required=True, type=int, help="In minor units.")
        parser.add_argument("--currency", required=True)
        parser.add_argument("--method", default="", help="A payment method, such as card.")
        parser.add_argument("--country", default="", help="The customer's, as two letters.")
        parser.add_argument("--card-brand", default="", help="Such as visa.")
        parser.add_argument("--card-bin", default="", help="The first digits of the card number.")
        parser.add_argument("--order-no", default="", help="The draw by weight depends on it.")

    @use_terminal_language()
    def handle(self, **options: Any) -> None:
        imagined = ImaginedPayment(
            merchant_email=options["merchant"],
            environment=options["environment"],
            amount_minor=options["amount"],
            currency=options["currency"],
            payment_method=options["method"],
            country=options["country"],
            card_brand=options["card_brand"],
            card_bin=options["card_bin"],
            order_no=options["order_no"],
        )
        try:
            decision = explain(imagined)
        except FieldsRefused as error:
            raise CommandError(str(error)) from error
        for line in list_lines(decision):
            rule = f"rule {line.rule_id}" if line.rule_id else "default"
            self.stdout.write(
                f"{line.rank or '-':>2}  {line.channel:<12} {line.account:<36} {rule:<10} {line.reason}"
            )
