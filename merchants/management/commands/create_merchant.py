from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.errors import ApiError
from merchants import services
from merchants.services import NewKey


class Command(BaseCommand):
    help = "Creates a merchant with a test key and a live key. Prints keys and secrets, which are never shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--email", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            created = services.create_merchant(name=options["name"], email=options["email"])
        except ApiError as error:
            raise CommandError(f"{error.text} {_format_details(error.details)}") from error
        merchant = created.merchant
        self.stdout.write(f"Merchant  {merchant.name} <{merchant.email}>\nId        {merchant.pk}\n\n")
        self._print("Test", created.test_key)
        self._print("Live", created.live_key)
        self.stdout.write(self.style.WARNING("Store the secrets now: they are not shown again."))
        self.stdout.write(
            "Try the test key:\n"
            f"  export PAYMENT_API_KEY={created.test_key.key}\n"
            f"  export PAYMENT_API_SECRET={created.test_key.secret}\n"
            "  python manage.py sign_request GET /api/v1/merchant"
        )

    def _print(self, environment: str, new: NewKey) -> None:
        self.stdout.write(f"{environment} key     {new.key}\n{environment} secret  {new.secret}\n\n")


def _format_details(details: dict[str, Any]) -> str:
    return "; ".join(
        f"{name}: {' '.join(messages) if isinstance(messages, list) else messages}"
        for name, messages in details.items()
    )
