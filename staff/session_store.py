"""Sessions of staff in PostgreSQL, each with its person, address and browser, so that they can be listed and ended.

Django's way to extend its store of sessions (`SESSION_ENGINE`). Deleting the row ends the session: a request that is
under way cannot store it again. The row has a hash of the key in the browser's cookie: a copy of the database opens no
session.
"""

import hashlib
from typing import Any

from django.apps import apps
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.utils import timezone

from common.origin import current_address

LONGEST_USER_AGENT = 300
# What Django's column holds.
HASH_CHARACTERS = 40


def hash_session_key(session_key: str) -> str:
    """A key has 165 random bits: its hash needs no secret."""
    return hashlib.sha256(session_key.encode()).hexdigest()[:HASH_CHARACTERS]


class SessionStore(db.SessionStore):
    """`user_agent` is set by the middleware. `row` is the session as it was read or last written."""

    user_agent = ""
    row: Any = None

    @classmethod
    def get_model_class(cls) -> type[AbstractBaseSession]:
        return apps.get_model("staff", "StaffSession")

    def _get_session_from_db(self) -> Any:
        own_hash = hash_session_key(self.session_key or "")
        rows = self.get_model_class()._default_manager
        self.row = rows.filter(session_key=own_hash, expire_date__gt=timezone.now()).first()
        if self.row is None:
            self._session_key = None
        return self.row

    def exists(self, session_key: str) -> bool:
        return super().exists(hash_session_key(session_key))

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            super().delete(hash_session_key(key))

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.session_key = hash_session_key(row.session_key)
        if self.row is not None and self.row.session_key == row.session_key:
            row.public_id, row.started_at = self.row.public_id, self.row.started_at
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        row.last_seen_at = timezone.now()
        row.address = current_address()
        row.user_agent = self.user_agent.replace("\0", "")[:LONGEST_USER_AGENT]
        self.row = row
        return row
