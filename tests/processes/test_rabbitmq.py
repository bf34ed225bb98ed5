"""Celery on a real RabbitMQ: queues, publisher confirms, and the effects of a kill. Collected only with --long.

The node is Debian's rabbitmq-server, on ports of its own, with its own daemon for Erlang's names.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from tests.support.books import Books
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.processes import RECOVERY_SECONDS, START_SECONDS, Platform, Process, free_port
from tests.support.waiting import LOADED_SECONDS, PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.processes

PROGRAMS, EPMD = Path("/usr/lib/rabbitmq/bin"), "/usr/bin/epmd"
USER, PASSWORD = "platform", "only-for-tests"
# Celery's worker and beat wait longer between attempts, the longer the node is gone.
RECONNECT_SECONDS = 60.0
# The bank decides a second later, and a periodic task alone sends its webhook.
DECIDED_LATER = "processing:1,auto_pay"
LOST = "auto_pay,no_webhook,timeout_after"


class PlatformOnRabbit(Platform):
    def __init__(self) -> None:
        super().__init__()
        self.broker_port, names_port = free_port(), free_port()
        self.home = self._directory("rabbitmq")
        self.broker_environment = self._describe_node(names_port)
        logs = self.directory
        self.names = Process(
            "epmd", [EPMD, "-port", str(names_port)], logs / "epmd.log", self.broker_environment
        )
        self.broker = Process(
            "rabbitmq", [str(PROGRAMS / "rabbitmq-server")], logs / "rabbitmq.log", self.broker_environment
        )
        self.broker_url = f"amqp://{USER}:{PASSWORD}@127.0.0.1:{self.broker_port}//"
        ours = (self.web, self.worker, self.beat, self.spare_worker)
        for environment in (self.environment, *(each.environment for each in ours)):
            environment["CELERY_BROKER_URL"] = self.broker_url

    def _describe_node(self, names_port: int) -> dict[str, str]:
        configuration = self.home / "rabbitmq.conf"
        configuration.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.broker_port}\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\n"
            "vm_memory_high_watermark.absolute = 256MB\ndisk_free_limit.absolute = 50MB\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
        )
        (self.home / "enabled_plugins").write_text("[].\n")
        return {
            "PATH": self.environment["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),  # of the Erlang cookie
            "ERL_EPMD_PORT": str(names_port),
            "RABBITMQ_NODENAME": f"rabbit-{self.broker_port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.home),
            "RABBITMQ_PID_FILE": str(self.home / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def _start(self) -> None:
        self.names.start()
        self.start_broker()
        super()._start()

    def start_broker(self) -> None:
        self.broker.start()
        wait_until(self._takes_connections, START_SECONDS, "RabbitMQ")

    def _takes_connections(self) -> bool:
        self.broker.require_running()
        with Connection(self.broker_url, connect_timeout=2) as connection:
            try:
                connection.connect()
            except connection.connection_errors:
                return False
            return True

    def kill_broker(self, *, loses_data: bool = False) -> None:
        self.broker.kill()
        if loses_data:
            shutil.rmtree(self.home / "mnesia")

    def ask_broker(self, *question: str) -> list[dict[str, Any]]:
        result = subprocess.run(
            [str(PROGRAMS / "rabbitmqctl"), "--quiet", *question, "--formatter", "json"],
            env=self.broker_environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        found: list[dict[str, Any]] = json.loads(result.stdout)
        return found

    def _end(self) -> None:
        super()._end()
        for process in (self.broker, self.names):
            process.kill()


@pytest.fixture(scope="module")
def platform() -> Iterator[PlatformOnRabbit]:
    with PlatformOnRabbit() as platform:
        yield platform


@pytest.fixture
def shop(platform: PlatformOnRabbit) -> HttpShop:
    return HttpShop(platform.url, **platform.merchant)


@pytest.fixture
def books(platform: PlatformOnRabbit) -> Iterator[Books]:
    books = Books(platform.database)
    yield books
    books.close()


def test_the_queues_are_quorum_queues_and_sends_are_confirmed(platform: PlatformOnRabbit) -> None:
    """As RabbitMQ itself describes them."""
    _require_queues(platform)
    wait_until(
        lambda: any(each["confirm"] for each in platform.ask_broker("list_channels", "confirm")),
        LOADED_SECONDS,
        "a channel with publisher confirms",
        interval=1.0,
    )


def test_killed_under_payments(platform: PlatformOnRabbit, shop: HttpShop, books: Books) -> None:
    """No request waits for RabbitMQ, saga workers do not need it, and afterwards beat sends due tasks again."""
    writes = _pay(shop)
    platform.kill_broker()
    began = platform.worker.log.stat().st_size
    writes += _pay(shop)
    _require_finished_without_broker(books, writes)
    platform.start_broker()
    _require_tasks_run(platform, began)
    _require_all_paid(shop, books, writes)


def test_killed_with_all_its_data(platform: PlatformOnRabbit, shop: HttpShop, books: Books) -> None:
    """The queues are gone with their messages: workers declare them anew."""
    writes = _pay(shop)
    platform.kill_broker(loses_data=True)
    began = platform.worker.log.stat().st_size
    writes += _pay(shop)
    platform.start_broker()
    _require_tasks_run(platform, began)
    _require_all_paid(shop, books, writes)
    _require_queues(platform)
    for process in (platform.web, platform.worker, platform.beat):
        process.require_running()


def _pay(shop: HttpShop) -> list[Write]:
    """Creates three payments: decided at once, finished by a saga worker, finished by a webhook of a periodic task."""
    scripts = ("auto_pay,no_webhook", LOST, DECIDED_LATER)
    writes = [payment(script) for script in scripts for _ in range(2)]
    statuses = [answer.result().status for answer in [shop.send_later(write) for write in writes]]
    assert set(statuses) <= {200, 202}, statuses
    return writes


def _require_finished_without_broker(books: Books, writes: list[Write]) -> None:
    for write in writes:
        if write.body["metadata"]["simulate"] == LOST:
            books.wait_for_saga(write.key, RECOVERY_SECONDS, "completed")


def _require_tasks_run(platform: PlatformOnRabbit, began: int) -> None:
    def has_run() -> bool:
        platform.supervise()
        log = platform.worker.log.read_bytes()[began:]
        return b"simulator.deliver_notifications" in log and b"succeeded in" in log

    wait_until(has_run, RECONNECT_SECONDS + LOADED_SECONDS, "periodic tasks")


def _require_all_paid(shop: HttpShop, books: Books, writes: list[Write]) -> None:
    for write in writes:
        shop.repeat_until_final(write, RECOVERY_SECONDS)
        order_no = write.body["order_no"]
        wait_until(lambda: _is_paid(books, order_no), RECONNECT_SECONDS + LOADED_SECONDS, order_no)  # noqa: B023
        books.require_paid_once(order_no)


def _is_paid(books: Books, order_no: str) -> bool:
    found = books.payment(order_no=order_no)
    return found is not None and found["status"] == "succeeded"


def _require_queues(platform: PlatformOnRabbit) -> None:
    found = platform.ask_broker("list_queues", "name", "type", "durable")
    kinds = {each["name"]: (each["type"], each["durable"]) for each in found}
    assert {name: kinds.get(name) for name in ("periodic", "sagas")} == {
        "periodic": ("quorum", True),
        "sagas": ("quorum", True),
    }, kinds
