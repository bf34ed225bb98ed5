"""Writes whose answer may show a secret: once, and never in a replay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from common.api.envelope import Answer, success
from common.api.http import respond
from idempotency.request import keyed_request
from idempotency.services import run_in_one_commit
from merchants.principal import principal_of


@dataclass(frozen=True, slots=True)
class SecretResponse:
    """What a write answers now, and what an Idempotency-Key remembers of it: no secret, because remembering
    means storing."""

    shown: Mapping[str, Any] = field(repr=False)
    stored: Mapping[str, Any]


def write_secret_once(
    request: Request,
    route: str,
    *,
    write: Callable[[UUID], SecretResponse],
    message: str,
    target: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Honours the Idempotency-Key. `target` holds what the path names."""
    keyed = keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=route,
        body=dict(request.data),
        target=target,
    )
    shown: list[Answer] = []

    def write_and_store(resource_id: UUID) -> Answer:
        written = write(resource_id)
        shown.append(success(written.shown, message=message))
        return success(written.stored, message=message)

    answer = run_in_one_commit(keyed, write=write_and_store)
    response = respond(shown[0] if shown else answer)
    response["Cache-Control"] = "no-store"  # nobody on the way keeps a secret
    return response
