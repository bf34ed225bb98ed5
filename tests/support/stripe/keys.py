"""Idempotency keys (docs.stripe.com/api/idempotent_requests): the answer to the first request stands for all with the
same key, a 500 included, for 24 hours. What was refused before any work began is not kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.stripe.requests import Invalid, Refusal, Request
from tests.support.stripe.spec import Shape

KEPT_SECONDS, MAX_KEY = 24 * 3600, 255
REPLAYED = {"Idempotent-Replayed": "true"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Shape
    headers: dict[str, str] = field(default_factory=dict)
    is_kept: bool = True


@dataclass(frozen=True, slots=True)
class _Kept:
    asked: tuple[str, Shape]
    answer: Answer
    at: int


@dataclass
class Keys:
    now: Callable[[], int]
    kept: dict[str, _Kept] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)

    def begin(self, request: Request) -> Answer | None:
        """The answer that is kept for the request's key; None when its work begins now.

        Raises `Refusal` for another request under this key, and while one is being worked on.
        """
        key = request.key
        if key is None or request.method != "POST":
            return None
        if len(key) > MAX_KEY:
            raise Invalid("Idempotency keys have up to 255 characters.")
        if key in self.running:
            message = "There is currently another in-progress request using this Idempotent Key."
            raise Refusal(
                409, message, code="idempotency_key_in_use", kind="idempotency_error", is_kept=False
            )
        known = self.kept.get(key)
        if known is not None and known.at + KEPT_SECONDS <= self.now():
            del self.kept[key]
            known = None
        if known is None:
            self.running.add(key)
            return None
        if known.asked != (request.path, request.params):
            message = "Keys for idempotent requests can only be used with the same parameters and endpoint."
            raise Refusal(400, message, kind="idempotency_error", is_kept=False)
        return Answer(known.answer.status, known.answer.body, {**known.answer.headers, **REPLAYED})

    def end(self, request: Request, answer: Answer) -> None:
        if request.key is None or request.method != "POST":
            return
        self.running.discard(request.key)
        if answer.is_kept:
            self.kept[request.key] = _Kept((request.path, request.params), answer, self.now())
