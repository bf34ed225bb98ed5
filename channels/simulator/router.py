"""Routes the bank's tables to a connection of their own.

What the bank did is committed there at once, as at a real bank: no rollback and no crash of the platform undoes it.
"""

from typing import Any

from django.db.models import Model

ALIAS = "simulator"
APP_LABEL = "simulator"


class SimulatorRouter:
    def db_for_read(self, model: type[Model], **_hints: Any) -> str | None:
        return ALIAS if model._meta.app_label == APP_LABEL else None

    def db_for_write(self, model: type[Model], **_hints: Any) -> str | None:
        return self.db_for_read(model)

    def allow_relation(self, first: Model, second: Model, **_hints: Any) -> bool | None:
        labels = {first._meta.app_label, second._meta.app_label}
        return labels == {APP_LABEL} if APP_LABEL in labels else None

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool | None:
        """Both aliases are one database, so `default` migrates for both."""
        return False if db == ALIAS else None
