"""`manage.py serve` starts the payment gateway (step 2.2 of the quick start)."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from payment_platform import boot, gunicorn_conf


class Command(BaseCommand):
    help = "Checks PostgreSQL and Redis, migrates, and serves the API on PORT with gunicorn."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--prepare-only", action="store_true", help="check and migrate, then end instead of listening"
        )

    def handle(self, *args: Any, prepare_only: bool, **options: Any) -> None:
        try:
            if not prepare_only:
                boot.require_free_port(gunicorn_conf.HOST, settings.PORT)
            boot.prepare(info=gunicorn_conf.print_info, warn=gunicorn_conf.print_warning)
        except boot.BootError as error:
            self.stderr.write(f"ERROR {error}", style_func=str)
            sys.exit(1)
        if not prepare_only:
            self._become_gunicorn()

    def _become_gunicorn(self) -> None:
        """Replaces this process by gunicorn, which so receives signals and inherits no connection."""
        metrics = os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(gunicorn_conf.METRICS_DIRECTORY))
        Path(metrics).mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gunicorn", "--config", f"python:{gunicorn_conf.__name__}"]
        os.chdir(settings.BASE_DIR)
        os.execv(command[0], [*command, "payment_platform.wsgi:application"])  # noqa: S606
