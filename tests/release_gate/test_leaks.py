"""The search for secrets finds every form of a secret in any context."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from scripts.local.config import ROOT
from scripts.release_gate.leaks import find_leaks
from tests.support.waiting import PATIENCE_SECONDS

SECRET = 'p+/w"ö???=&secret~ 9'
RAW = SECRET.encode()


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("plain", RAW),
        ("hex", RAW.hex().encode()),
        ("hex", b"\\x" + RAW.hex().upper().encode()),
        *[
            ("base64", base64.b64encode(before + RAW + after))
            for before in (b"", b"a", b"ab", b"user:")
            for after in (b"", b"x", b"xy")
        ],
        ("base64url", base64.urlsafe_b64encode(b"ab" + RAW)),
        ("base32", base64.b32encode(RAW).lower()),
        ("url-quoted", quote(SECRET, safe="").encode()),
        ("url-quoted", quote(SECRET, safe="").lower().encode()),
        ("url-quoted", urlencode({"password": SECRET}).encode()),
        ("url-quoted", quote(quote(SECRET, safe=""), safe="").encode()),
        ("JSON", json.dumps({"password": SECRET}).encode()),
        ("JSON", json.dumps({"password": SECRET}, ensure_ascii=False).encode()),
    ],
)
def test_each_form_is_found(form: str, content: bytes) -> None:
    sources = {"clean": b"nothing here" * 50, "log": b"before " + content + b" after"}
    found = find_leaks({"password": SECRET}, sources)
    assert form in {leak.form for leak in found}, found
    assert {leak.source for leak in found} == {"log"}
    assert SECRET not in str(found)


def test_bytes_that_are_no_text_are_found() -> None:
    key = bytes(range(200, 220))
    found = find_leaks({"key": key}, {"dump": key.hex().encode(), "trace": base64.b64encode(b"x" + key)})
    assert {(leak.source, leak.form) for leak in found} == {("dump", "hex"), ("trace", "base64")}


def test_a_secret_that_is_not_there_is_not_found() -> None:
    assert find_leaks({"password": SECRET}, {"log": RAW[:-1] + b"0", "empty": b""}) == []


def test_a_short_text_is_refused() -> None:
    with pytest.raises(ValueError, match="pin is too short"):
        find_leaks({"pin": "1234567"}, {})


def test_the_command_prints_the_place_and_not_the_secret(tmp_path: Path) -> None:
    secrets, log, clean = tmp_path / "secrets.json", tmp_path / "gateway.log", tmp_path / "clean.log"
    secrets.write_text(json.dumps({"password": SECRET}))
    log.write_bytes(b"12345" + RAW)
    clean.write_text("nothing")

    def run(*files: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.release_gate.leaks", str(secrets), *map(str, files)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    found = run(log, clean)
    assert (found.returncode, found.stdout.splitlines()[0]) == (1, f"password (plain) in {log} at byte 5")
    assert SECRET not in found.stdout
    assert run(clean).returncode == 0
