"""Searches logs, dumps and traces for secrets, in every form in which programs write them.

    python -m scripts.release_gate.leaks SECRETS.json FILE…

SECRETS.json maps names to secrets. Prints where each was found, never the secret; the exit code is 1 when one was.
"""

import argparse
import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

# Shorter texts are found by accident.
MIN_SECRET_BYTES = 8


@dataclass(frozen=True, slots=True)
class Leak:
    """`name` of the secret, in which `form`, in which `source` and at which byte."""

    name: str
    form: str
    source: str
    offset: int

    def __str__(self) -> str:
        return f"{self.name} ({self.form}) in {self.source} at byte {self.offset}"


def find_leaks(secrets: Mapping[str, str | bytes], sources: Mapping[str, bytes]) -> list[Leak]:
    """The first place of each secret in each form in each source. Raises `ValueError` for a secret too short to
    search for."""
    found = []
    forms = {name: list(_list_forms(name, secret)) for name, secret in secrets.items()}
    for source, content in sources.items():
        lowered = content.lower()
        for name, texts in forms.items():
            for form, text, ignores_case in texts:
                offset = lowered.find(text.lower()) if ignores_case else content.find(text)
                if offset >= 0:
                    found.append(Leak(name, form, source, offset))
    return found


def _list_forms(name: str, secret: str | bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Form, bytes to search for, and whether their case is ignored."""
    raw = secret.encode() if isinstance(secret, str) else secret
    if len(raw) < MIN_SECRET_BYTES:
        raise ValueError(f"{name} is too short to be searched for")
    yield "plain", raw, False
    yield "hex", raw.hex().encode(), True
    for alignment in range(3):
        standard = _encode_inside(raw, alignment)
        yield "base64", standard, False
        urlsafe = standard.translate(bytes.maketrans(b"+/", b"-_"))
        if urlsafe != standard:
            yield "base64url", urlsafe, False
    base32 = base64.b32encode(raw).rstrip(b"=")
    yield "base32", base32, True
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return
    written = {
        "url-quoted": {
            quote(text, safe=""),
            quote(text),
            quote_plus(text),
            quote(quote(text, safe=""), safe=""),
        },
        "JSON": {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]},
    }
    for form, texts in written.items():
        for each in sorted(texts - {text}):
            yield form, each.encode(), form == "url-quoted"


def _encode_inside(raw: bytes, alignment: int) -> bytes:
    """What base64 makes of the secret inside a longer text, `alignment` bytes after the beginning of a group of three:
    without the characters that also depend on its neighbours."""
    encoded = base64.b64encode(bytes(alignment) + raw)
    begin, end = -(-alignment * 8 // 6), (alignment + len(raw)) * 8 // 6
    return encoded[begin:end]


def main() -> int:
    parser = argparse.ArgumentParser(description="Searches files for secrets.")
    parser.add_argument("secrets", type=Path, metavar="SECRETS.json")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    found = find_leaks(
        json.loads(arguments.secrets.read_text()), {str(file): file.read_bytes() for file in arguments.files}
    )
    for leak in found:
        print(leak)
    print(f"{len(found)} leaks in {len(arguments.files)} files")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
