from typing import Any

from django.core.management.base import BaseCommand, CommandError

from common.resealing import ResealProgress, reseal_all_tables


class Command(BaseCommand):
    help = (
        "Encrypts all stored secrets with the newest key of PAYMENT_MASTER_KEYS. Afterwards the older keys can be "
        "removed. Can be interrupted and repeated: what is done is skipped."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        tables: dict[str, ResealProgress] = {}
        for progress in reseal_all_tables():
            tables[progress.table] = progress
            self.stdout.write(f"{progress.table:<24} {progress.read} read, {progress.resealed} resealed")
        if not all(progress.is_complete for progress in tables.values()):
            unreadable = sum(progress.unreadable for progress in tables.values())
            changed = sum(progress.changed for progress in tables.values())
            raise CommandError(
                f"{unreadable} rows cannot be read with these master keys, {changed} rows changed meanwhile: "
                "keep all master keys, and repeat the command."
            )
        self.stdout.write(
            self.style.SUCCESS("Every secret is sealed with the newest master key: the older ones can go.")
        )
