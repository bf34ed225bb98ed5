"""`manage.py serve` prints each line of the quick start as soon as it is true, or one line with the error."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from payment_platform import boot
from scripts.local.config import ROOT
from tests.support.processes import free_port
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack
BOOT = """\
INFO  正在启动 Payment Gateway Service...
INFO  数据库连接成功
INFO  数据库迁移完成（包含 Saga 表）
INFO  Redis连接成功
INFO  Prometheus 指标初始化完成
INFO  Jaeger 追踪初始化完成
INFO  Saga Orchestrator 初始化完成
INFO  Saga Payment Service 初始化完成（功能已准备就绪）
INFO  Payment Gateway 启动成功，监听端口: {port}
""".splitlines()


class Gateway:
    """A running `manage.py serve` and its output so far."""

    def __init__(self, **environment: str) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self.listening = threading.Event()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env={**os.environ, "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "监听端口" in line:
                self.listening.set()

    def refusal(self) -> str:
        """Returns the line on stderr of a gateway that did not start."""
        assert self.process.wait(PATIENCE_SECONDS) == 1
        assert self.process.stderr
        error = self.process.stderr.read()
        assert error.startswith("ERROR "), error
        assert error.count("\n") == 1, error
        return error

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The name of a new database in the cluster of this test run."""
    name = f"serve_{uuid.uuid4().hex}"
    with psycopg.connect(
        host=os.environ["DB_HOST"],
        port=os.environ["DB_PORT"],
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_two_gateways_start_at_once_on_an_empty_database(empty_database: str) -> None:
    # The first gateway cannot check Stripe's setup: it logs this and starts all the same.
    connected = {"STRIPE_TEST_SECRET_KEY": "sk_test_1", "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}"}
    gateways = [Gateway(DB_NAME=empty_database, **more) for more in (connected, {})]
    for gateway in gateways:
        assert gateway.listening.wait(PATIENCE_SECONDS), gateway.lines
        expected = [line.format(port=gateway.port) for line in BOOT]
        assert [line.partition("（未设置")[0] for line in gateway.lines] == expected
        with urllib.request.urlopen(
            f"http://127.0.0.1:{gateway.port}/readyz", timeout=PATIENCE_SECONDS
        ) as ready:
            assert ready.status == 200
    assert gateways[0].process.stderr
    assert any("Stripe did not answer" in line for line in gateways[0].process.stderr)
    assert [gateway.stop() for gateway in gateways] == [0, 0]


def test_unreachable_database() -> None:
    port = str(free_port())
    gateway = Gateway(DB_HOST="127.0.0.1", DB_PORT=port)
    assert f"数据库连接失败: 127.0.0.1:{port} (Connection refused)" in gateway.refusal()
    assert gateway.lines == BOOT[:1]


def test_wrong_password() -> None:
    assert "password authentication failed" in Gateway(DB_PASSWORD="wrong").refusal()


def test_the_gateway_starts_without_redis(empty_database: str) -> None:
    port = str(free_port())
    gateway = Gateway(DB_NAME=empty_database, REDIS_HOST="127.0.0.1", REDIS_PORT=port)
    assert gateway.listening.wait(PATIENCE_SECONDS), gateway.lines
    assert gateway.lines[:3] == BOOT[:3]
    assert gateway.lines[3].startswith(f"WARN  Redis连接失败: 127.0.0.1:{port} (")
    assert "Redis连接成功" not in "".join(gateway.lines)
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/readyz", timeout=PATIENCE_SECONDS) as ready:
        assert json.load(ready) == {"ready": True, "checks": {"database": True, "redis": False}}
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.port}/", timeout=PATIENCE_SECONDS) as page:
        assert page.status == 200
    assert gateway.stop() == 0


def test_an_old_postgresql_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "OLDEST_POSTGRESQL", 990000)
    with pytest.raises(
        boot.BootError, match=r"数据库版本过低: .* runs PostgreSQL [0-9]+ — upgrade it to 99 or newer"
    ):
        boot._connect_database()


def test_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        gateway = Gateway(PORT=port)
        assert f"无法监听端口: 127.0.0.1:{port}" in gateway.refusal()
        assert gateway.lines == []
