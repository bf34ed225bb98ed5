"""The replica is read where code names it, and never written or migrated (ADR 52)."""

from typing import Any

from django.db.models import Model

from common.postgresql.replica import PRIMARY, REPLICA


class ReplicaRouter:
    """An object that was read from the replica is written to the primary, and may refer to objects of the primary."""

    def db_for_write(self, _model: type[Model], **hints: Any) -> str | None:
        instance = hints.get("instance")
        return PRIMARY if instance is not None and instance._state.db == REPLICA else None

    def allow_relation(self, first: Model, second: Model, **_hints: Any) -> bool | None:
        return True if REPLICA in (first._state.db, second._state.db) else None

    def allow_migrate(self, db: str, _app_label: str, **_hints: Any) -> bool | None:
        return False if db == REPLICA else None
