"""A merchant's program: it signs each request and repeats a write under the same key until it has an answer."""

import hashlib
import hmac
import http.client
import json
import secrets
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

# A client's own patience with one request. The answer of a repetition is the same.
REQUEST_SECONDS = 10.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 2.0
# Not the end: the outcome is not known yet, or the platform cannot serve now.
_IN_FLIGHT = "idempotency_in_flight"
_REPEATED = frozenset({202, 429, 500, 502, 503, 504})


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a client knows of one write: a line of the journal."""

    client: int
    kind: str  # payment, refund
    channel: str
    path: str
    body: dict[str, Any]
    key: str = field(default_factory=lambda: f"lab-{uuid.uuid4().hex}")
    first_sent_at: float = field(default_factory=time.time)
    answered_at: float | None = None
    status: int | None = None
    number: str = ""  # of the payment or refund that was confirmed
    requests: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # of tries, by status or exception
    paid_at: float | None = None  # when the platform said that the customer has paid

    @property
    def is_confirmed(self) -> bool:
        return self.status == 200

    @property
    def is_healed(self) -> bool:
        """Some tries failed, and a repetition with the same key was confirmed."""
        return self.is_confirmed and bool(self.errors)

    @classmethod
    def from_line(cls, line: str) -> Self:
        return cls(**json.loads(line))

    def to_line(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":")) + "\n"


class Journal:
    """Every outcome, as it becomes known: one JSON object a line."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a")
        self._lock = threading.Lock()

    def write(self, outcome: Outcome) -> None:
        with self._lock:
            self._file.write(outcome.to_line())
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_journal(file: Path) -> list[Outcome]:
    return [Outcome.from_line(line) for line in file.read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class LabAnswer:
    """`status` 0: no answer came, and nobody can tell what happened."""

    status: int
    body: dict[str, Any]
    error: str = ""

    @property
    def is_final(self) -> bool:
        in_flight = self.status == 409 and self.body.get("error_code") == _IN_FLIGHT
        return bool(self.status) and self.status not in _REPEATED and not in_flight

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.body["data"]
        return found


class Client:
    def __init__(self, url: str, merchant: dict[str, str]) -> None:
        self._address = urlsplit(url).netloc
        self._key, self._secret = merchant["key"], merchant["secret"]

    def send_until_final(self, outcome: Outcome, end: threading.Event) -> LabAnswer | None:
        """Repeats the write until its answer is final and records that. None when `end` came first."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            answer = self.request("POST", outcome.path, outcome.body, key=outcome.key)
            outcome.requests += 1
            if answer.is_final:
                outcome.status, outcome.answered_at = answer.status, time.time()
                return answer
            error = answer.error or str(answer.status)
            outcome.errors[error] = outcome.errors.get(error, 0) + 1
            if end.wait(pause):
                return None
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> LabAnswer:
        content = b"" if body is None else json.dumps(body).encode()
        headers = self._sign(method, path, content, key)
        connection = http.client.HTTPConnection(self._address, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except TimeoutError:
            return LabAnswer(0, {}, "timeout")
        except (OSError, http.client.HTTPException) as error:
            return LabAnswer(0, {}, type(error).__name__)
        finally:
            connection.close()
        try:
            return LabAnswer(answer.status, json.loads(text))
        except ValueError:  # a balancer's own page
            return LabAnswer(answer.status, {})

    def _sign(self, method: str, path: str, content: bytes, key: str) -> dict[str, str]:
        """docs/SIGNING.md."""
        raw_path, _mark, query = path.partition("?")
        stamp, nonce = str(int(time.time())), secrets.token_hex(16)
        digest = hashlib.sha256(content).hexdigest()
        text = "\n".join(["v1", method, raw_path, query, stamp, nonce, key, digest])
        mac = hmac.new(self._secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-API-Key": self._key,
            "X-Signature": f"v1={mac}",
            "X-Timestamp": stamp,
            "X-Nonce": nonce,
        }
        return headers | ({"Idempotency-Key": key} if key else {})
