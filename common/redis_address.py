"""The address of Redis, alone or behind Sentinel.

Forms: `redis://[user:password@]host:port/0`, `rediss://` for TLS, and
`sentinel://[user:password@]host:26379,host:26379/mymaster/0`. Sentinel names the current master; the user and the
password are the master's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """`url` is redis-py's. Behind Sentinel, the name of the master stands in the place of the host."""

    url: str = field(repr=False)  # with the password
    label: str
    credentials: str = field(default="", repr=False)  # `user:password@`, as in the URL
    database: int = 0
    sentinels: tuple[tuple[str, int], ...] = ()
    master_name: str = ""

    @property
    def username(self) -> str:
        return unquote(self.credentials.removesuffix("@").partition(":")[0])

    @property
    def password(self) -> str:
        return unquote(self.credentials.removesuffix("@").partition(":")[2])

    @property
    def broker_url(self) -> str:
        """As Celery wants it: each Sentinel is a URL of its own."""
        if not self.sentinels:
            return self.url
        return ";".join(
            f"sentinel://{self.credentials}{_bracketed(host)}:{port}/{self.database}"
            for host, port in self.sentinels
        )


def parse_redis_url(url: str) -> RedisAddress:
    """Raises `ImproperlyConfigured`, whose text names REDIS_URL and not the password."""
    try:
        parts = urlsplit(url)
        if parts.scheme == "sentinel":
            return _parse_sentinels(parts)
        if parts.scheme not in ("redis", "rediss"):
            raise _Invalid("it begins with redis://, rediss:// or sentinel://")
        host, port = parts.hostname, parts.port or 6379
        if not host:
            raise _Invalid("it names no host")
        return RedisAddress(
            url=url, label=f"{host}:{port}", database=_parse_database(parts.path.strip("/") or "0")
        )
    except ValueError as error:  # also urlsplit's, which can quote the password
        reason = error if isinstance(error, _Invalid) else "a port is no number, or a bracket is missing"
        raise ImproperlyConfigured(
            f"REDIS_URL: {reason}. Examples: redis://host:6379/0,"
            " sentinel://host:26379,host:26379/mymaster/0 (master name, then database)."
        ) from None


class _Invalid(ValueError):
    """The reason is safe to print."""


def _parse_sentinels(parts: SplitResult) -> RedisAddress:
    credentials, at, hosts = parts.netloc.rpartition("@")
    master_name, _slash, database = parts.path.strip("/").partition("/")
    if not master_name:
        raise _Invalid("after the addresses of Sentinel comes the name of the master, such as /mymaster/0")
    if parts.query:
        raise _Invalid("it takes no parameters after a question mark")
    number = _parse_database(database or "0")
    return RedisAddress(
        url=f"redis://{credentials}{at}{master_name}/{number}",
        label=f"{master_name} of Sentinel at {hosts}",
        credentials=credentials + at,
        database=number,
        sentinels=tuple(_parse_hosts(hosts)),
        master_name=master_name,
    )


def _parse_hosts(hosts: str) -> Iterator[tuple[str, int]]:
    for each in hosts.split(","):
        parts = urlsplit(f"//{each.strip()}")
        if not parts.hostname:
            raise _Invalid("one of the addresses of Sentinel is empty")
        yield parts.hostname, parts.port or SENTINEL_PORT


def _parse_database(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise _Invalid("the database is a number")
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
