"""Where the local stack keeps its things and which ports it wants, from the environment."""

import json
import os
import shutil
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scripts.local.errors import StackError

ROOT = Path(__file__).resolve().parents[2]
# The programs of the sandboxes: the variable that moves the port, and the port.
SANDBOXES = {
    "wechat-sandbox": ("WECHAT_SANDBOX_PORT", 40004),
    "alipay-sandbox": ("ALIPAY_SANDBOX_PORT", 40005),
}
MINIMUM_FREE_MB = 500  # a new cluster is 60 MB; the rest is room for its log to turn over


@dataclass(frozen=True)
class Address:
    """Where a server is, and whether it is ours to run."""

    host: str
    port: int
    embedded: bool

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Database(Address):
    user: str = "postgres"
    password: str = "postgres"
    name: str = "payment_gateway"


@dataclass(frozen=True)
class Stack:
    local: Path
    logs: Path
    database: Database
    redis: Address
    web: Address
    # The port of each sandbox; empty without --with-sandboxes.
    sandbox_ports: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, *, with_sandboxes: bool = False) -> "Stack":
        return cls(
            local=_directory("LOCAL_DIR", ROOT / ".local"),
            logs=_directory("LOG_DIR", ROOT / "logs"),
            database=_database(),
            redis=_server("REDIS_HOST", "REDIS_PORT", 40379),
            # Loopback only: the local stack has a well-known API key and a well-known admin password.
            web=Address(os.environ.get("WEB_HOST", "127.0.0.1"), _port("PORT", 40003), embedded=True),
            sandbox_ports={
                program: _port(variable, port)
                for program, (variable, port) in SANDBOXES.items()
                if with_sandboxes
            },
        )

    @property
    def run(self) -> Path:
        return self.local / "run"

    @property
    def metrics(self) -> Path:
        return self.local / "prometheus"

    @property
    def url(self) -> str:
        return f"http://localhost:{self.web.port}"

    @classmethod
    def saved(cls, wanted: "Stack") -> "Stack":
        """The stack that runs from this directory: its ports need not be the ones we were given."""
        try:
            values = json.loads(wanted._record.read_text())
        except FileNotFoundError:
            return wanted
        return cls(
            local=wanted.local,
            logs=Path(values["logs"]),
            database=Database(**values["database"]),
            redis=Address(**values["redis"]),
            web=Address(**values["web"]),
            sandbox_ports=values.get("sandbox_ports", {}),
        )

    def save(self) -> None:
        self._record.touch(mode=0o600)
        self._record.write_text(json.dumps(asdict(self), default=str))

    def forget(self) -> None:
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.run / "stack.json"

    def make_directories(self) -> None:
        for directory in (self.local, self.logs, self.run, self.metrics):
            directory.mkdir(parents=True, exist_ok=True)
        # The servers' account passes through here to its own directory, whatever our umask is.
        self.local.chmod(0o755)


def _directory(variable: str, default: Path) -> Path:
    return Path(os.environ.get(variable) or default).absolute()


def _server(host_variable: str, port_variable: str, default_port: int) -> Address:
    host = os.environ.get(host_variable, "")
    return Address(host or "127.0.0.1", _port(port_variable, default_port), embedded=not host)


def _database() -> Database:
    server = _server("DB_HOST", "DB_PORT", 40432)
    name = os.environ.get("DB_NAME") or Database.name
    if server.embedded:  # its account is fixed when it is created
        return Database(server.host, server.port, embedded=True, name=name)
    user, password = os.environ.get("DB_USER"), os.environ.get("DB_PASSWORD")
    return Database(
        server.host,
        server.port,
        embedded=False,
        user=user or Database.user,
        password=Database.password if password is None else password,
        name=name,
    )


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"{variable}={text} is not a port number: unset it or give 1 to 65535.")
    return int(text)


def require_port(port: int, variable: str, what: str) -> None:
    """Refuse a port that another process listens on, before anything is started."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(
                f"port {port} for {what} is not free ({error.strerror}): stop what uses it "
                f"(see `ss -ltnp | grep {port}`) or choose another with {variable}=…"
            ) from error


def require_space(directory: Path, megabytes: int = MINIMUM_FREE_MB) -> None:
    free = shutil.disk_usage(directory).free // 2**20
    if free < megabytes:
        raise StackError(
            f"the disk of {directory} is full: {free} MB free, {megabytes} MB needed. "
            "Free some space, or set LOCAL_DIR to a directory on another disk."
        )
