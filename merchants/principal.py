"""The authenticated caller, as views find it in `request.user`."""

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from rest_framework.request import Request


@dataclass(frozen=True, slots=True)
class Principal:
    """One API key of one merchant in one environment. Every query of the API is limited to that merchant and
    environment."""

    merchant_id: UUID
    environment: str
    key_id: UUID
    scopes: frozenset[str]
    is_demo: bool
    # The time of the request by the database's clock. None: nobody sent a request.
    authenticated_at: dt.datetime | None = None

    @property
    def tenant(self) -> str:
        """Identifies merchant and environment together: no request reaches the data of another tenant."""
        return f"{self.merchant_id}:{self.environment}"

    @property
    def lenient_fields(self) -> frozenset[str]:
        """Fields that may differ when an Idempotency-Key is repeated. The quick start's manual test repeats a key
        with an `order_no` that holds the current second; every other merchant's repeat is compared in full (ADR 20).
        """
        return frozenset({"order_no"}) if self.is_demo else frozenset()

    @property
    def is_authenticated(self) -> bool:
        """Required by Django and Django REST framework of `request.user`."""
        return True


def principal_of(request: Request) -> Principal:
    """Returns the caller of an authenticated view."""
    principal = request.user
    assert isinstance(principal, Principal), "this view admits unauthenticated callers"
    return principal
