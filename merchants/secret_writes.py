"""Idempotent writes whose response shows a secret: once, and never in a replay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from rest_framework.request import Request

from common.api.envelope import Answer, success
from common.api.http import respond
from idempotency.request import read_keyed_request
from idempotency.services.finish_claim import write_in_one_commit
from merchants.principal import principal_of


@dataclass(frozen=True, slots=True)
class SecretResponse:
    """`body` is the response to the request that made the secret. `replay_body` is stored for the Idempotency-Key and
    has no secret in it."""

    body: Mapping[str, Any] = field(repr=False)
    replay_body: Mapping[str, Any]


def write_secret_once(
    request: Request,
    route: str,
    *,
    write: Callable[[UUID], SecretResponse],
    message: str,
    target: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Runs `write` once for each Idempotency-Key, in one commit with its record. `target` holds the ids in the path."""
    keyed = read_keyed_request(
        request._request,
        tenant=principal_of(request).tenant,
        route=route,
        body=dict(request.data),
        target=target,
    )
    with_secret: list[Answer] = []  # stays empty when the request is a replay

    def write_and_return_replay(resource_id: UUID) -> Answer:
        written = write(resource_id)
        with_secret.append(success(written.body, message=message))
        return success(written.replay_body, message=message)

    for_replay = write_in_one_commit(keyed, write=write_and_return_replay)
    response = respond(with_secret[0] if with_secret else for_replay)
    response["Cache-Control"] = "no-store"  # no cache on the way stores the secret
    return response
