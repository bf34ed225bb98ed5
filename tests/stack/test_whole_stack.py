"""The two commands of the quick start with real servers: the stack starts, serves, restarts its programs and stops."""

import json
import os
import re
import signal
from pathlib import Path

import psycopg
import pytest
import redis

from scripts.local.waiting import wait_until
from tests.stack.installation import Installation, listens
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack


def test_a_stack_starts_stops_and_starts_again(installation: Installation) -> None:
    started = installation.run("start-all-services.sh", "--with-sandboxes")
    assert started.returncode == 0, started.stderr
    for shown in ("test-api-key", "test-signature", "/api/docs", "/admin/", "/metrics", "/checkout/"):
        assert shown in started.stdout
    assert installation.get("/readyz")
    assert "saga_started_total" in installation.get("/metrics")
    assert_database_as_documented(installation)
    assert_status_names_everything(installation)
    assert_sandboxes_are_accounts_of_the_channels(installation)
    assert_idempotency_script(installation)
    assert_stopped_servers_are_restarted(installation)
    assert "already running" in installation.run("start-all-services.sh").stdout
    assert_stop_leaves_nothing(installation)

    assert_dying_program_is_named(installation)
    assert installation.run("start-all-services.sh").returncode == 0, (
        "the second start uses the data of the first one"
    )
    assert not (installation.directory / ".local" / "sandboxes.env").exists(), "started without sandboxes"
    assert_killed_supervisor_is_noticed(installation)
    assert_stop_leaves_nothing(installation)


def assert_stopped_servers_are_restarted(installation: Installation) -> None:
    """The servers end with exit code 0: PostgreSQL after a fast shutdown, Redis after SHUTDOWN."""
    with _psql(installation) as connection:
        directory, started = connection.execute(
            "SELECT current_setting('data_directory'), pg_postmaster_start_time()"
        ).fetchone()
    os.kill(int(Path(directory, "postmaster.pid").read_text().split()[0]), signal.SIGINT)
    with redis.Redis(port=installation.ports["REDIS_PORT"]) as server:
        server.shutdown()

    def are_back() -> bool:
        try:
            with (
                _psql(installation) as connection,
                redis.Redis(port=installation.ports["REDIS_PORT"]) as server,
            ):
                (now,) = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
                return now > started and server.ping()
        except (psycopg.OperationalError, redis.RedisError):
            return False

    assert wait_until(are_back, PATIENCE_SECONDS)
    assert wait_until(lambda: _is_ready(installation), PATIENCE_SECONDS)


def _psql(installation: Installation) -> psycopg.Connection:
    port = installation.ports["DB_PORT"]
    return psycopg.connect(
        f"host=127.0.0.1 port={port} user=postgres password=postgres dbname=payment_gateway"
    )


def _is_ready(installation: Installation) -> bool:
    try:
        return bool(installation.get("/readyz"))
    except OSError:
        return False


def assert_stop_leaves_nothing(installation: Installation) -> None:
    assert installation.run("stop-all-services.sh").returncode == 0
    assert installation.processes() == []
    assert not any(listens(port) for port in installation.ports.values())
    assert installation.run("status-all-services.sh").returncode == 1
    assert "nothing was running" in installation.run("stop-all-services.sh").stdout


def assert_dying_program_is_named(installation: Installation) -> None:
    result = installation.run("start-all-services.sh", WEB_THREADS="many")
    assert result.returncode != 0
    assert "payment-gateway died" in result.stderr
    assert "invalid literal for int() with base 10: 'many'" in result.stderr
    assert installation.processes() == []


def assert_killed_supervisor_is_noticed(installation: Installation) -> None:
    installation.kill_supervisor()
    assert wait_until(lambda: installation.run("status-all-services.sh").returncode == 1, PATIENCE_SECONDS)
    refused = installation.run("start-all-services.sh")
    assert refused.returncode != 0
    assert "stop-all-services.sh" in refused.stderr


def assert_database_as_documented(installation: Installation) -> None:
    for database in ("payment_gateway", "postgres"):
        with psycopg.connect(
            host="localhost",
            port=installation.ports["DB_PORT"],
            user="postgres",
            password="postgres",
            dbname=database,
        ) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("on",)
    psql = installation.run("psql.sh", "-Atc", "SELECT count(*) FROM saga_instances")
    assert psql.stdout.strip().isdigit(), psql.stderr
    assert installation.run("redis-cli.sh", "ping").stdout == "PONG\n"


def assert_status_names_everything(installation: Installation) -> None:
    status = installation.run("status-all-services.sh")
    assert status.returncode == 0, status.stdout
    rows = {line.split()[0]: line.split()[1:] for line in status.stdout.splitlines() if line}
    for service in (
        "postgres",
        "redis",
        "payment-gateway",
        "saga-worker-live",
        "saga-worker-test",
        "poller",
        "celery-worker",
        "celery-beat",
        "relay",
        "webhooks",
    ):
        assert rows[service][0] == "running"
        assert rows[service][1].isdigit()
    assert rows["payment-gateway"][2] == str(installation.ports["PORT"])


def assert_sandboxes_are_accounts_of_the_channels(installation: Installation) -> None:
    settings = (installation.directory / ".local" / "sandboxes.env").read_text().splitlines()
    ports = installation.ports
    assert f"WECHAT_API_BASE=http://127.0.0.1:{ports['WECHAT_SANDBOX_PORT']}" in settings
    assert f"ALIPAY_GATEWAY_URL=http://127.0.0.1:{ports['ALIPAY_SANDBOX_PORT']}/gateway.do" in settings
    rows = installation.run("status-all-services.sh").stdout.splitlines()
    for program, port in (
        ("wechat-sandbox", "WECHAT_SANDBOX_PORT"),
        ("alipay-sandbox", "ALIPAY_SANDBOX_PORT"),
    ):
        (row,) = (row.split() for row in rows if row.startswith(program))
        assert (row[1], row[3]) == ("running", str(ports[port]))


def assert_idempotency_script(installation: Installation) -> None:
    result = installation.run("test-idempotency.sh")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "✅ 幂等性测试通过: 两次请求返回相同的响应" in result.stdout
    answers = re.findall(r"^\{$.*?^\}$", result.stdout, re.DOTALL | re.MULTILINE)
    first, second = (json.loads(answer) for answer in answers)
    assert first == second
    assert first["message"] == "创建成功"


def test_an_interrupted_start_leaves_no_process(installation: Installation) -> None:
    start = installation.begin("start-all-services.sh")
    assert wait_until(lambda: listens(installation.ports["DB_PORT"]), PATIENCE_SECONDS)
    start.terminate()
    assert start.wait(PATIENCE_SECONDS) != 0
    # PostgreSQL's own processes may outlive their parent by a moment.
    assert wait_until(lambda: installation.processes() == [], PATIENCE_SECONDS)
