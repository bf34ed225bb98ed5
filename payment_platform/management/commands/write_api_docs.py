from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from payment_platform.api_docs.errors import errors_page


class Command(BaseCommand):
    help = "Writes docs/ERRORS.md from the error classes."

    def handle(self, *args: Any, **options: Any) -> None:
        Path(settings.BASE_DIR, "docs", "ERRORS.md").write_text(errors_page(), encoding="utf-8")
