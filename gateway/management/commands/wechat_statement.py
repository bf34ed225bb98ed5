from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date

from channels.base import LIVE, TEST
from channels.registry import get_platform_account
from channels.wechat import statements
from channels.wechat.client import WechatClient
from channels.wechat.config import UnusableCredentials

TIMEOUT_SECONDS = 60.0


class Command(BaseCommand):
    help = (
        "Downloads a daily statement (对账单) of the platform's own account at WeChat Pay, verifies its hash and writes"
        " it as it is. Exit code 1: it cannot be had; 2: nothing happened on that day."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("day", help="A day in Beijing, such as 2026-11-27.")
        parser.add_argument("--environment", choices=[TEST, LIVE], default=LIVE)
        parser.add_argument(
            "--kind",
            choices=statements.KINDS,
            default="trades",
            help="Trades (交易账单), or the movements of one of the merchant's funds (资金账单):"
            " basic account, operation account, fees.",
        )

    def handle(self, *args: Any, day: str, environment: str, kind: str, **options: Any) -> None:
        date = parse_date(day)
        if date is None:
            raise CommandError(f"{day} is not a day such as 2026-11-27.", returncode=1)
        try:
            client = WechatClient(get_platform_account("wechat", environment), TIMEOUT_SECONDS)
            content = statements.download_statement(client, date, kind)
            text = None if content is None else content.decode("utf-8-sig")
        except UnusableCredentials as error:
            raise CommandError(
                f"WECHAT_{environment.upper()}_{error.field.upper()}: {error}", returncode=1
            ) from error
        except (*statements.FAILURES, UnicodeDecodeError) as error:
            raise CommandError(f"The statement cannot be had: {error}", returncode=1) from error
        if text is None:
            raise CommandError(f"Nothing happened on {day}.", returncode=2)
        self.stdout.write(text, ending="")
