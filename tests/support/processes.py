"""The platform as real processes that a test kills: PostgreSQL, Redis, gunicorn, workers and beat.

Nothing is shared with the test run's own servers: workers would resume the sagas of other tests, and tests stop these
servers. Leases and sweeps are short, so that a recovery takes seconds.

    with Platform() as platform:
        pid = platform.web_worker()
        platform.arm(pid, crash_at="saga.call.after:CallPaymentChannel")
"""

import contextlib
import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from monitoring.sandbox_books import read_books_at
from scripts.local.account import Account, server_account
from scripts.local.config import ROOT, Address, Database
from scripts.local.errors import tail
from scripts.local.postgres import Cluster, ensure_database
from scripts.local.redis import RedisServer
from tests.support.armable import ARM_SIGNAL, DIRECTORY
from tests.support.process_table import is_alive, read_parent, read_start
from tests.support.sandboxes import Customers, Sandbox
from tests.support.stripe.customers import StripeCustomers, build_stripe_settings
from tests.support.stripe.fake import FakeStripe
from tests.support.waiting import wait_until

LEASE_SECONDS = 2.0
SWEEP_SECONDS = 0.5
RETRY_BASE_SECONDS = 0.2
IDEMPOTENCY_LEASE_SECONDS = 2.5
# Shorter than the lease, so that no call outlives its lease by being slow.
CHANNEL_TIMEOUT_SECONDS = 1.6
# No circuit breaker ever opens.
NO_BREAKER_FAULTS = 1_000_000
# A recovery after a kill takes at most this long, unless a whole process has to start first.
RECOVERY_SECONDS = LEASE_SECONDS + SWEEP_SECONDS + 2.0
# Limit for a process to start, to end or to read its orders: a hanging process fails the test, a busy machine does not.
START_SECONDS = 180.0
# A process may end by itself this often in a row.
MOST_DEATHS = 5
FIRST_PAUSE_SECONDS = 0.25
# More children than one test kills at a time, so that no test waits for a new one.
WORKER_CHILDREN = 4
CELERY_CHILDREN = 2
WORKER_THREADS = 2

# A crashed PostgreSQL must not lose a commit, so `synchronous_commit` stays on. Without fsync, only a crash of the
# machine could lose one.
POSTGRES_SETTINGS = {
    "max_connections": "100",
    "fsync": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}

# Each process of the test run has ports of its own.
MOST_WORKERS = 16
_given_ports: set[int] = set()

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """Ends the process when its parent ends, so that a killed test run leaves no process behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A command in its own process group, with its log. It can be started again after its end."""

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        environment: dict[str, str],
        account: Account | None = None,
        code: Path = ROOT,
    ) -> None:
        self.name, self.command, self.log, self.environment = name, command, log, environment
        self.account, self.code = account, code
        self.deaths = 0  # by itself, since the last time everything was healed
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._revive_at = 0.0

    @property
    def pid(self) -> int:
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while the process runs. Negative: the number of the signal that killed it."""
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen.poll()

    def start(self) -> None:
        assert not self.is_running, f"{self.name} is running"
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            self._popen = subprocess.Popen(
                self.command,
                cwd=self.code if self.account is None else "/",
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **(self.account.as_popen_arguments() if self.account else {}),
            )

    def revive(self) -> None:
        """Starts the process again when it has ended, as a supervisor does: after growing pauses, until it ends too
        often.

        A Celery worker ends when a child is killed just as it starts. PostgreSQL ends while children of the previous
        server still hold its shared memory.
        """
        if self.is_running:
            return
        if self.deaths >= MOST_DEATHS:
            raise AssertionError(f"{self.name} ended {self.deaths} times:\n{tail(self.log, 40)}")
        if time.monotonic() >= self._revive_at:
            self.deaths += 1
            self._revive_at = time.monotonic() + FIRST_PAUSE_SECONDS * 2**self.deaths
            self.start()

    def kill(self) -> None:
        """kill -9 of the whole group."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        """Ends the group with a signal, and waits. This does not count as an end by itself."""
        if self._popen is None:
            return
        self.deaths, self._revive_at = 0, 0.0
        self.signal(signal.SIGCONT)
        self.signal(number)
        try:
            self._popen.wait(START_SECONDS)
        finally:
            self.signal(signal.SIGKILL)
            self._popen.wait(START_SECONDS)

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def require_running(self) -> None:
        assert self.is_running, f"{self.name} died:\n{tail(self.log, 40)}"

    def has_logged(self, text: str) -> bool:
        """Whether the text was logged since the last start."""
        return text.encode() in self.log.read_bytes()[self._log_start :]


class Platform:
    """All processes of the platform on one machine. Starts them on entering and kills them on leaving."""

    def __init__(
        self,
        *,
        has_sandboxes: bool = False,
        has_circuit_breaker: bool = True,
        stripe: FakeStripe | None = None,
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="payment-processes-"))
        self.directory.chmod(0o755)  # the servers' account passes through
        self.database = Database("127.0.0.1", free_port(), embedded=True)
        self.cache = Address("127.0.0.1", free_port(), embedded=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arms = self._directory("arms")
        self.wechat = Sandbox("wechat", free_port(), self.directory / "wechat")
        self.alipay = Sandbox("alipay", free_port(), self.directory / "alipay")
        self.environment = self._environment()
        if not has_circuit_breaker:
            self.environment["CHANNEL_BREAKER_FAULTS"] = str(NO_BREAKER_FAULTS)
        self._stripe = stripe
        if stripe is not None:
            self.environment.update(build_stripe_settings(stripe))
        self._cluster = Cluster(self.directory / "postgres", self.database.port, POSTGRES_SETTINGS)
        self._redis_server = RedisServer(self.directory / "redis", self.cache.port)
        celery = [sys.executable, "-m", "celery", "--app", "payment_platform.celery:app"]
        gunicorn = [sys.executable, "-m", "gunicorn", "--config", "python:tests.support.armable_gunicorn"]
        schedule = str(self.directory / "celerybeat-schedule")
        self.web = self._ours("web", [*gunicorn, "payment_platform.wsgi:application"])
        self.beat = self._ours("beat", [*celery, "beat", "--pidfile=", "--schedule", schedule])
        self.worker = self._workers("worker")
        self.spare_worker = self._workers("spare")  # runs only while a test needs it
        self.sandboxes = {
            each: self._ours(f"{each.name}-sandbox", [sys.executable, *each.arguments])
            for each in ((self.wechat, self.alipay) if has_sandboxes else ())
        }
        self.postgres = self._server("postgres")
        self.redis = self._server("redis")
        self.merchant: dict[str, str] = {}

    # --- Whole ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def processes(self) -> list[Process]:
        ours = [self.web, self.worker, self.spare_worker, self.beat]
        return [*ours, *self.sandboxes.values(), self.redis, self.postgres]

    @property
    def stripe_customers(self) -> StripeCustomers:
        assert self._stripe is not None, "this platform does not use Stripe"
        return StripeCustomers(self._stripe, self.url)

    @property
    def customers(self) -> Customers:
        return Customers(self.wechat, self.alipay)

    def read_sandbox_books(self) -> Mapping[str, str | None]:
        books = read_books_at(self.wechat.url, self.alipay.url)
        assert all(books.values()), books
        return books

    def heal(self) -> None:
        """Brings the platform into the state that each test expects: everything runs, no process is armed, no spare
        worker."""
        self.spare_worker.kill()
        for process in (self.postgres, self.redis, *self._supervised):
            process.deaths = 0
            if process.is_running:
                process.signal(signal.SIGCONT)  # the whole group, so also a frozen child
        self.start_postgres()
        self.start_redis()
        self.wait_until_ready()
        self.wait_for_sandboxes()
        self.arm(self.web_worker())
        self.arm_workers()

    def wait_until_ready(self) -> None:
        wait_until(self._web_is_ready, START_SECONDS, "the web process")
        self.wait_for_worker(self.worker)
        self.supervise()

    def supervise(self) -> None:
        """Starts the processes again that have ended by themselves or were killed."""
        for process in self._supervised:
            process.revive()

    @property
    def _supervised(self) -> tuple[Process, ...]:
        return (self.web, self.worker, self.beat, *self.sandboxes.values())

    def _start(self) -> None:
        self._start_sandboxes()
        self.postgres.account = self._cluster.create()
        self.postgres.command = self._cluster.command(self.postgres.account)
        self.start_postgres()
        self.redis.account = self._redis_server.create()
        self.redis.command = self._redis_server.command(self.redis.account)
        self.start_redis()
        ensure_database(self.database)
        prepared = subprocess.run(
            [sys.executable, "-m", "tests.support.prepare_platform"],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            preexec_fn=_die_with_parent,
        )
        assert prepared.returncode == 0, prepared.stderr
        self.merchant = json.loads(prepared.stdout.splitlines()[-1])
        for process in (self.web, self.worker, self.beat):
            process.start()
        self.wait_until_ready()

    def _start_sandboxes(self) -> None:
        """Starts the sandboxes. Every process of the platform gets the settings that name them."""
        self.wait_for_sandboxes()
        for sandbox in self.sandboxes:
            for ours in (self, self.web, self.worker, self.spare_worker, self.beat):
                ours.environment.update(sandbox.read_settings())

    def wait_for_sandboxes(self) -> None:
        for sandbox, process in self.sandboxes.items():
            wait_until(lambda s=sandbox, p=process: p.revive() or s.is_ready(), START_SECONDS, process.name)

    def _end(self) -> None:
        for process in self.processes:
            process.kill()
        for home in (self._cluster.home, self._redis_server.home):
            if home.is_symlink():  # where the servers' account could not reach the temporary directory
                shutil.rmtree(home.resolve(), ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- Web and workers ------------------------------------------------------------------------------

    def web_worker(self) -> int:
        """Waits for gunicorn's one worker to listen, and returns its process id."""
        return wait_until(lambda: self._armable("web", self.web), START_SECONDS, "a web worker")[0]

    def worker_children(self, worker: Process | None = None) -> list[int]:
        worker = worker or self.worker
        return wait_until(
            lambda: (found := self._armable("worker", worker))[1:] and found,
            START_SECONDS,
            "two worker children",
        )

    def wait_for_worker(self, worker: Process) -> None:
        """Waits until two children listen and their parent consumes messages."""
        wait_until(lambda: worker.revive() or worker.has_logged(" ready."), START_SECONDS, worker.name)
        self.worker_children(worker)

    def restart_web(self) -> None:
        self.web.start()
        wait_until(self._web_is_ready, START_SECONDS, "the web process")

    def arm(
        self, pid: int, *, crash_at: str = "", lose_answer_of: str = "", spares: Sequence[uuid.UUID] = ()
    ) -> None:
        """Arms the process: it is killed at this crash point, except with a saga that it spares, or it loses this
        answer. Without both, it is disarmed."""
        orders = self.arms / f"orders.{pid}"
        self._order(orders, crash_at, lose_answer_of, spares)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ARM_SIGNAL)
        wait_until(
            lambda: not orders.exists() or not is_alive(pid), START_SECONDS, f"{pid} to take its orders"
        )

    def arm_workers(
        self, *, crash_at: str = "", lose_answer_of: str = "", spares: Sequence[uuid.UUID] = ()
    ) -> None:
        """Arms all children of the workers, also those that start later."""
        self._order(self.arms / "standing.worker", crash_at, lose_answer_of, spares)
        for child in self.worker_children():
            self.arm(child, crash_at=crash_at, lose_answer_of=lose_answer_of, spares=spares)

    def dead_children(self) -> set[tuple[int, int]]:
        """Returns process id and start of each child that has ended, of all workers so far."""
        return {sign for sign in self._signs("worker") if read_start(sign[0]) != sign[1]}

    def _order(self, orders: Path, crash_at: str, lose_answer_of: str, spares: Sequence[uuid.UUID]) -> None:
        environment = {
            "PAYMENT_CRASH_AT": crash_at,
            "PAYMENT_CRASH_SPARES": ",".join(map(str, spares)),
            "PAYMENT_LOSE_ANSWER_OF": lose_answer_of,
        }
        new = orders.with_name(f"new.{orders.name}")
        new.write_text(json.dumps(environment))
        new.rename(orders)

    def _armable(self, role: str, under: Process) -> list[int]:
        under.revive()
        living = [pid for pid, start in self._signs(role) if read_start(pid) == start]
        return sorted(pid for pid in living if under.pid in _ancestors(pid))

    def _signs(self, role: str) -> list[tuple[int, int]]:
        """Returns process id and start of each process that ever listened. The id alone may belong to a thread by
        now."""
        return [(int(sign.suffix[1:]), int(sign.read_text())) for sign in self.arms.glob(f"{role}.*")]

    def _web_is_ready(self) -> bool:
        self.web.revive()
        return is_gateway_ready(self.url)

    # --- Servers ----------------------------------------------------------------------------------------

    def start_postgres(self) -> None:
        wait_until(self._postgres_is_ready, START_SECONDS, "PostgreSQL")

    def _postgres_is_ready(self) -> bool:
        if not self.postgres.is_running:
            (self._cluster.data / "postmaster.pid").unlink(missing_ok=True)
        self.postgres.revive()
        return self._cluster.is_ready()

    def stop_postgres(self) -> None:
        """`pg_ctl stop -m immediate`: sessions are cut off, and the next start recovers.

        Its children can outlive it while the disk is busy. Until they have ended, they hold its shared memory, and no
        other server can start.
        """
        children = _children(self.postgres.pid)
        self.postgres.end(signal.SIGQUIT)
        for child in children:
            wait_for_death(child)

    def start_redis(self) -> None:
        wait_until(self._redis_answers, START_SECONDS, "Redis")

    def stop_redis(self) -> None:
        """Stops Redis. It keeps nothing on disk, so its data is lost."""
        self.redis.kill()

    def redis_client(self) -> "redis.Redis":
        return redis.Redis(self.cache.host, self.cache.port, socket_timeout=60, socket_connect_timeout=5)

    def _redis_answers(self) -> bool:
        self.redis.revive()
        try:
            with self.redis_client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    # --- Parts ------------------------------------------------------------------------------------------

    def _directory(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir()
        return path

    def _environment(self) -> dict[str, str]:
        ours = {
            "LOCAL_STACK": "1",
            "SECRET_KEY": "only-for-tests",
            "PAYMENT_MASTER_KEYS": "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtMDA=",
            "DJANGO_SETTINGS_MODULE": "payment_platform.settings",
            "PORT": str(self.port),
            "WEB_WORKERS": "1",
            "WEB_QUEUE_SECONDS": "120",
            "DB_HOST": self.database.host,
            "DB_PORT": str(self.database.port),
            "DB_USER": self.database.user,
            "DB_PASSWORD": self.database.password,
            "DB_NAME": self.database.name,
            "REDIS_HOST": self.cache.host,
            "REDIS_PORT": str(self.cache.port),
            "REDIS_DB": "0",
            "PROMETHEUS_MULTIPROC_DIR": str(self._directory("prometheus")),
            "MEDIA_ROOT": str(self._directory("media")),
            "STATIC_ROOT": str(self.directory / "static"),
            "SAGA_LEASE_SECONDS": str(LEASE_SECONDS),
            "SAGA_SWEEP_SECONDS": str(SWEEP_SECONDS),
            "SAGA_WORKER_THREADS": str(WORKER_THREADS),
            "SAGA_RETRY_BASE_SECONDS": str(RETRY_BASE_SECONDS),
            "IDEMPOTENCY_LEASE_SECONDS": str(IDEMPOTENCY_LEASE_SECONDS),
            "CHANNEL_TIMEOUT_SECONDS": str(CHANNEL_TIMEOUT_SECONDS),
            "RATE_LIMIT_PER_SECOND": "0",
            "CRASH_POINTS": "1",
            DIRECTORY: str(self.arms),
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, **ours}

    def _ours(self, name: str, command: list[str]) -> Process:
        environment = {**self.environment, "SERVICE_NAME": f"payment-{name}"}
        return Process(name, command, self.directory / f"{name}.log", environment)

    def _workers(self, name: str) -> Process:
        command = [sys.executable, "-m", "tests.support.armable_workers", name]
        return self._ours(name, [*command, str(WORKER_CHILDREN), str(CELERY_CHILDREN)])

    def _server(self, name: str) -> Process:
        """Its command is known once its data directory exists."""
        return Process(name, [], self.directory / f"{name}.log", dict(os.environ), server_account())


def is_gateway_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def wait_for_death(pid: int) -> None:
    """Waits until the process has ended. Its connections are closed a moment earlier."""
    wait_until(lambda: not is_alive(pid), START_SECONDS, f"the end of process {pid}")


def _children(parent: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if read_parent(pid) == parent]


def _ancestors(pid: int) -> set[int]:
    """Returns the parent of the process and that one's parent."""
    parent = read_parent(pid)
    return set() if parent is None else {parent, read_parent(parent) or 0}


def free_port() -> int:
    """Returns a port below the kernel's range for outgoing connections. A test run gets each port once, because its
    server may start much later."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_WORKERS
    for _ in range(100):
        port = random.randrange(15_000 + worker, 32_000, MOST_WORKERS)
        if port in _given_ports:
            continue
        _given_ports.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
