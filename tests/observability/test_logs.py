"""Every log event, ours or a library's, is one redacted line."""

import json
import logging
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings

from common.redaction import redact_log_event
from common.sensitive_text import hide_emails, hide_secrets
from scripts.local.config import ROOT
from tests.support.waiting import PATIENCE_SECONDS

CARDS = [
    "4242424242424242",
    "4242 4242 4242 4242",
    "5555-5555-5555-4444",
    "378282246310005",
    "6011.1111.1111.1117",
    "4242%204242%204242%204242",
    "4242+4242+4242+4242",
]
SECRETS = [
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "rk_live_51HqLyjWDarjtT1zdp7dc",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.Et9HFtf9R3GEMA0IICOfFMVXY7kkTX1wr4qCyIf58U",
    "gAAAAABmYv3nLkT8q1ZkLmNoPqRsTuVwXyZ0123456789abcdefghijklmnop==",
    "-----BEGIN EC PRIVATE KEY----- MHcCAQEEIBkg -----END EC PRIVATE KEY-----",
    "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
]
# Looks like a card, and is none: our own numbers, ids, times, amounts.
HARMLESS = [
    "PAY-20250124-123456",
    "REF-20261124-0004242424",
    "0193c1a2-7c5e-7b3a-9f1e-123456789012",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "1737734400000",
    "4242424242424241",
    "ORDER-1737734400",
    "999999999999",
]


def redacted(**event: Any) -> dict[str, Any]:
    return dict(redact_log_event(None, "info", dict(event)))


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("around", ["{}", "card {} declined", "x{}y", '{{"n":"{}"}}', "n={};"])
def test_card_numbers_anywhere_in_a_text(card: str, around: str) -> None:
    assert redacted(event=around.format(card)) == {"event": around.format("[card]")}


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_that_only_look_like_cards_stay(text: str) -> None:
    assert redacted(event=f"about {text}.", payment_no=text) == {
        "event": f"about {text}.",
        "payment_no": text,
    }


def test_card_numbers_that_are_numbers() -> None:
    event = redacted(event="paid", n=4242424242424242, amount=123456, ratio=0.25, ok=True, none=None)
    assert event == {
        "event": "paid",
        "n": "[card]",
        "amount": 123456,
        "ratio": 0.25,
        "ok": True,
        "none": None,
    }


def test_a_card_number_cannot_hide_in_one_of_ours() -> None:
    assert redacted(event="PAY-4242424242424242") == {"event": "PAY-[card]"}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_recognized_by_their_shape(secret: str) -> None:
    found = redacted(event=f"got {secret} from there", deep={"a": [{"b": (secret,)}]})
    assert secret not in json.dumps(found)
    assert "from there" in found["event"]


@pytest.mark.parametrize(
    "text",
    [
        "password=hunter2hunter2",
        'the body was {"api_key": "hunter2hunter2"}',
        "X-Signature: hunter2hunter2",
        "connect to postgres://app:hunter2hunter2@db:5432/x failed",
        "?token=hunter2hunter2&x=1",
        "cvv='hunter2hunter2'",
        "Authorization: Bearer hunter2hunter2",
        "authorization: basic hunter2hunter2",
        "webhook-signature: v1,hunter2hunter2",
        json.dumps(json.dumps({"password": "hunter2hunter2"})),
    ],
)
def test_secrets_are_recognized_by_their_name_in_a_text(text: str) -> None:
    assert "hunter2" not in redacted(event=text)["event"]


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "X-Api-Key",
        "client_secret",
        "Authorization",
        "set-cookie",
        "webhook_token",
        "cvc",
        "card_number",
    ],
)
def test_secrets_are_recognized_by_the_name_of_their_field(name: str) -> None:
    found = redacted(event="x", headers={name: "plain", "Accept": "*/*"}, **{name: ["plain"]})
    assert found == {"event": "x", "headers": {name: "[redacted]", "Accept": "*/*"}, name: "[redacted]"}


def test_headers_in_pairs() -> None:
    pairs = [("X-Signature", "hunter2"), ["Set-Cookie", "hunter2"], ("Accept", "*/*")]
    found = redacted(event="x", headers=pairs)["headers"]
    assert found == [["X-Signature", "[redacted]"], ["Set-Cookie", "[redacted]"], ["Accept", "*/*"]]


def test_secrets_of_the_settings_are_redacted() -> None:
    event = redacted(
        event=f"key is {settings.PAYMENT_MASTER_KEYS[0]}!", pepper=settings.SIMULATOR_WEBHOOK_SECRET
    )
    assert event == {"event": "key is [redacted]!", "pepper": "[redacted]"}


@dataclass
class Holder:
    number: str


class FailsToPrint:
    def __str__(self) -> str:
        raise ValueError("4242424242424242")


def test_objects_of_any_kind() -> None:
    number = uuid.UUID("0193c1a2-7c5e-7b3a-9f1e-123456789012")
    found = redacted(
        event="x",
        a=Holder(CARDS[0]),
        b=FailsToPrint(),
        c=CARDS[0].encode(),
        d=ValueError(CARDS[0]),
        e=number,
        f=Decimal("1.5"),
        g={1},
    )
    assert CARDS[0] not in json.dumps(found)
    assert (found["b"], found["e"], found["f"], found["g"]) == ("[FailsToPrint]", str(number), "1.5", [1])


def test_recursive_structures_are_cut() -> None:
    endless: dict[str, Any] = {"card": CARDS[0]}
    endless["self"] = endless
    found = redacted(event="x" * 1_000_000, endless=endless, many=list(range(100_000)))
    assert len(json.dumps(found)) < 50_000


@pytest.mark.parametrize("word", ["x-", "a@", "token", "4 "])
def test_redaction_takes_linear_time(word: str) -> None:
    """An earlier pattern backtracked: it took 760 ms for 2,000 characters, and 100 times as long for ten times as many
    characters."""
    started = time.thread_time()
    hide_emails(hide_secrets(word * (20_000 // len(word))))
    assert time.thread_time() - started < 2


@pytest.mark.parametrize("hostile", ["\n", "\r\n", "\x1b[31m", "\x00", "\u2028", "\x85", "\u202e", "\ud800"])
def test_no_character_makes_a_second_line_or_moves_the_cursor(hostile: str) -> None:
    found = redacted(event=f"a{hostile}b", order_no=f"a{hostile}b", **{f"a{hostile}b": 1})
    assert hostile not in "".join([*found, found["event"], found["order_no"]])
    json.dumps(found, ensure_ascii=False).encode()


PROGRAM = """
import logging, sys, warnings
import django
django.setup()
import structlog

log = structlog.get_logger("mine")
structlog.contextvars.bind_contextvars(request_id="req_1", payment_no="PAY-20250124-123456")
log.info("first", order_no="O-1\\n2026-01-01T00:00:00Z [info] paid amount=1")
logging.getLogger("theirs").warning("card %s of %s", "4242424242424242", {"password": "hunter2hunter2"})
try:
    try:
        raise KeyError("sk_live_4eC39HqLyjWDarjtT1zdp7dc")
    except KeyError as error:
        raise RuntimeError("4242 4242 4242 4242\\n[info] forged line") from error
except RuntimeError:
    log.exception("failed", stack_info=True)
    logging.getLogger("theirs").exception("failed too")
warnings.warn("password=hunter2hunter2")
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Returns the output of a process with this LOG_FORMAT that reads no settings of a local stack."""
    nowhere = str(tmp_path_factory.mktemp("local"))

    def run(log_format: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={
                "SECRET_KEY": secrets.token_urlsafe(48),
                "PAYMENT_MASTER_KEYS": Fernet.generate_key().decode(),
                "SIMULATOR_WEBHOOK_SECRET": secrets.token_urlsafe(48),
                "DJANGO_SETTINGS_MODULE": "payment_platform.settings",
                "LOCAL_DIR": nowhere,
            }
            | ({"LOG_FORMAT": log_format} if log_format else {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        return done.stderr

    return run


def assert_no_secret(text: str) -> None:
    without_times = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", text)  # a fraction of a second may be 424242
    assert without_times != text
    for secret in ("4242", "sk_live", "hunter2"):
        assert secret not in without_times


def test_production_writes_objects(printed: Callable[[str], str]) -> None:
    """Without LOG_FORMAT, every installation but the local stack writes JSON."""
    text = printed("")
    first, card, failed, failed_too, warned = (json.loads(line) for line in text.splitlines())
    assert first["order_no"] == "O-1\\n2026-01-01T00:00:00Z [info] paid amount=1"
    assert (first["event"], first["level"], first["logger"]) == ("first", "info", "mine")
    assert (first["request_id"], first["payment_no"]) == ("req_1", "PAY-20250124-123456")
    assert card["event"] == "card [card] of {'password': [redacted]}"
    for line in (failed, failed_too):
        assert "RuntimeError: [card]" in line["exception"]
        assert "KeyError" in line["exception"]
    assert "stack" in failed
    assert "[redacted]" in warned["event"]
    assert_no_secret(text)


def test_console_lines_are_readable_and_cannot_be_forged(printed: Callable[[str], str]) -> None:
    text = printed("console")
    assert "first" in text
    assert "request_id=req_1" in text
    for (
        line
    ) in text.splitlines():  # a traceback's, the rule between two of them, or one that begins with the time
        assert line.startswith("  | ") or set(line) <= {"="} or line[:2] == "20", line
    assert "  | [info] forged line" in text
    assert_no_secret(text)


def test_no_logger_bypasses_the_root_logger() -> None:
    strays = {
        name
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
        and any(not isinstance(h, logging.NullHandler) for h in logger.handlers)
    }
    assert not {
        name for name in strays if name.split(".")[0] in ("django", "celery", "gunicorn", "gateway", "sagas")
    }
