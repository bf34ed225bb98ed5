"""Finishes a claimed write: runs what comes after the claiming transaction, up to the answer of the request."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from common.api.envelope import Answer
from common.errors import ApiError
from idempotency.request import KeyedRequest
from idempotency.services.claim import Claim
from idempotency.services.claim_key import claim_key, claim_used_key
from idempotency.services.replay import build_mismatch_headers

T = TypeVar("T")


def finish_claim(claim: Claim[T], *, work: Callable[[Claim[T]], Answer]) -> Answer:
    """Runs `work`, the part of the write after the claiming transaction, unless the claim has its answer already.

    `work` passes a final answer to `claim.complete`; any other answer leaves the key in flight, and so does an error.
    """
    while not claim.was_answered_before:
        try:
            answer = claim.answer or work(claim)
        except ApiError:
            claim.release()
            raise
        if claim.is_superseded:
            claim = claim_used_key(claim.request)
            continue
        if claim.answer is None:
            claim.release()
        else:
            claim.cache_answer(answer)
        headers = build_mismatch_headers(claim.request, claim.differing_fields)
        return replace(answer, headers={**answer.headers, **headers})
    assert claim.answer is not None
    return claim.answer


def write_in_one_commit(request: KeyedRequest, *, write: Callable[[uuid.UUID], Answer]) -> Answer:
    """Does a write that consists of our own rows alone: claim, rows and answer are one commit."""

    def begin(claim: Claim[None]) -> None:
        claim.complete(write(claim.resource_id))

    def never(_claim: Claim[None]) -> Answer:
        raise AssertionError("a write of one commit is never found in flight")

    return finish_claim(claim_key(request, begin=begin), work=never)
