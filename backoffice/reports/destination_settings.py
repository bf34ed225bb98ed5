"""The destinations of reports, as the setting `REPORT_DESTINATIONS` names them. Needs no Django and no SDK."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
BUCKET_OPTIONS = ("endpoint_url", "region", "profile")


class InvalidDestination(ValueError):
    """The text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of S3 or of a storage that speaks its protocol. `profile` names the credentials in AWS's shared
    credentials file; without it, the SDK looks for them in the environment, then in the role of the host."""

    name: str
    prefix: str
    endpoint_url: str | None
    region: str | None
    profile: str | None

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}"


Destination = Folder | Bucket


def parse_destinations(given: Mapping[str, str]) -> Mapping[str, Destination]:
    """Raises `InvalidDestination`."""
    return {name: _parse_destination(name, text) for name, text in given.items()}


def _parse_destination(name: str, text: str) -> Destination:
    if not NAME.fullmatch(name):
        raise InvalidDestination(f"{name!r}: a name has at most 40 lower-case letters, digits and hyphens")
    if text.startswith("/"):
        return Folder(Path(text))
    url = urlsplit(text)
    if url.scheme != "s3" or not url.hostname:
        raise InvalidDestination(f"{name}: give an absolute path, or s3://bucket/prefix")
    if url.username is not None or url.password is not None:
        raise InvalidDestination(f"{name}: credentials do not belong here; give the name of a profile")
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(set(options) - set(BUCKET_OPTIONS)):
        raise InvalidDestination(
            f"{name}: unknown options {', '.join(unknown)}; known: {', '.join(BUCKET_OPTIONS)}"
        )
    prefix = url.path.strip("/")
    return Bucket(
        name=url.hostname,
        prefix=f"{prefix}/" if prefix else "",
        endpoint_url=options.get("endpoint_url"),
        region=options.get("region"),
        profile=options.get("profile"),
    )
