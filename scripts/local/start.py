"""Starts the local stack and waits until it takes payments. On a failure it stops what it started.

With --with-sandboxes, also the sandboxes of WeChat Pay and Alipay, as the accounts of these channels for test keys.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from scripts.local import errors, leftovers, postgres, redis, sandboxes, secrets
from scripts.local.config import ROOT, SANDBOXES, Stack, require_port, require_space
from scripts.local.errors import StackError, tail
from scripts.local.probe import is_ready
from scripts.local.supervisor import Supervisor
from scripts.local.waiting import wait_until

PLATFORM = (
    "payment-gateway",
    "saga-worker-live",
    "saga-worker-test",
    "poller",
    "celery-worker",
    "celery-beat",
    "relay",
    "webhooks",
)
READY_SECONDS = float(os.environ.get("READY_SECONDS") or 120)  # a quiet machine needs ten
RESTART_FREE_MB = 100


def main() -> int:
    wanted = Stack.from_environment(with_sandboxes=_parse_options().with_sandboxes)
    wanted.make_directories()
    with _lock_start(wanted):
        supervisor = Supervisor(wanted)
        if supervisor.is_running():
            stack = Stack.saved(wanted)
            _resume(stack, supervisor)
            print("already running (stop-all-services.sh first, to start with other settings or new code)")
        else:
            stack = wanted
            _start(stack, supervisor)
    _print_guide(stack)
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="start-all-services.sh", description=__doc__)
    parser.add_argument(
        "--with-sandboxes", action="store_true", help="start the sandboxes of WeChat Pay and Alipay too"
    )
    return parser.parse_args()


def _start(stack: Stack, supervisor: Supervisor) -> None:
    _check_preconditions(stack)
    environment = _environment(stack)
    with ExitStack() as undo:
        undo.callback(leftovers.end, stack)  # if supervisord itself was killed
        undo.callback(supervisor.shutdown)
        _start_servers(stack, supervisor, environment)
        _start_sandboxes(stack, supervisor)
        stack.save()
        undo.callback(stack.forget)
        _manage(stack, environment, "migrate", "--no-input")
        _manage(stack, environment, "collectstatic", "--no-input")
        _manage(stack, environment, "seed_demo")
        _start_platform(stack, supervisor)
        undo.pop_all()


def _resume(stack: Stack, supervisor: Supervisor) -> None:
    """Restarts dead processes. Does nothing on a healthy stack."""
    supervisor.start([*_servers(stack), *stack.sandbox_ports])
    _start_platform(stack, supervisor)


def _check_preconditions(stack: Stack) -> None:
    """Raises `StackError` for problems that can be found before the first process starts."""
    if stray := leftovers.find(stack):
        raise StackError(
            f"processes of an earlier start are still running without their supervisor ({stray}): "
            "run scripts/stop-all-services.sh, then start again."
        )
    require_space(stack.local, RESTART_FREE_MB)
    require_port(stack.web.port, "PORT", "the payment gateway")
    for program, port in stack.sandbox_ports.items():
        require_port(port, SANDBOXES[program][0], program)
    if stack.database.embedded:
        require_port(stack.database.port, "DB_PORT", "PostgreSQL")
        postgres.Cluster.of(stack).create()
    elif reason := postgres.why_unreachable(stack.database):
        raise StackError(
            f"数据库连接失败: {stack.database} ({reason}) — check DB_HOST, DB_PORT, DB_USER, DB_PASSWORD and "
            "DB_NAME, or unset DB_HOST to let this script start a PostgreSQL of its own."
        )
    if stack.redis.embedded:
        require_port(stack.redis.port, "REDIS_PORT", "Redis")
        redis.RedisServer.of(stack).create()
    elif reason := redis.why_unreachable(stack.redis):
        raise StackError(
            f"Redis连接失败: {stack.redis} ({reason}) — check REDIS_HOST and REDIS_PORT, or unset REDIS_HOST "
            "to let this script start a Redis of its own."
        )


def _environment(stack: Stack) -> dict[str, str]:
    """The environment of every process of the stack. The caller's values win over the defaults."""
    defaults = {
        **secrets.load_or_create(stack),
        "ADMIN_PASSWORD": "admin",
    }
    ours = {
        "DB_HOST": stack.database.host,
        "DB_PORT": str(stack.database.port),
        "DB_USER": stack.database.user,
        "DB_PASSWORD": stack.database.password,
        "DB_NAME": stack.database.name,
        "REDIS_HOST": stack.redis.host,
        "REDIS_PORT": str(stack.redis.port),
        "WEB_HOST": stack.web.host,
        "PORT": str(stack.web.port),
        # supervisord's configuration names them also when the sandboxes are not started
        **{
            variable: str(stack.sandbox_ports.get(name, port)) for name, (variable, port) in SANDBOXES.items()
        },
        "LOCAL_DIR": str(stack.local),
        "LOG_DIR": str(stack.logs),
        "STATIC_ROOT": str(stack.local / "static"),
        "PROMETHEUS_MULTIPROC_DIR": str(stack.metrics),
        "PYTHONUNBUFFERED": "1",
        "STACK_ROOT": str(ROOT),
        "STACK_PYTHON": sys.executable,
        leftovers.MARK: str(stack.local),
    }
    return {**defaults, **os.environ, **ours}


def _servers(stack: Stack) -> list[str]:
    servers = {"postgres": stack.database, "redis": stack.redis}
    return [name for name, address in servers.items() if address.embedded]


def _start_servers(stack: Stack, supervisor: Supervisor, environment: dict[str, str]) -> None:
    shutil.rmtree(stack.metrics)  # counters of ended processes
    stack.metrics.mkdir()
    supervisor.launch(environment)
    servers = _servers(stack)
    supervisor.start(servers)

    def up() -> bool:
        supervisor.require_alive(servers)
        database = not stack.database.embedded or postgres.Cluster.of(stack).is_ready()
        return database and redis.why_unreachable(stack.redis) is None

    if not wait_until(up, READY_SECONDS):
        raise StackError(f"PostgreSQL or Redis did not come up in {READY_SECONDS:.0f} s: see {stack.logs}")
    if stack.database.embedded:
        postgres.ensure_database(stack.database)


def _start_sandboxes(stack: Stack, supervisor: Supervisor) -> None:
    """Before the platform's processes, which read the settings that the sandboxes write."""
    sandboxes.forget_settings(stack)
    if not stack.sandbox_ports:
        return
    supervisor.start(stack.sandbox_ports)

    def ready() -> bool:
        supervisor.require_alive(stack.sandbox_ports)
        return sandboxes.are_ready(stack)

    if not wait_until(ready, READY_SECONDS):
        raise StackError(f"the sandboxes did not come up in {READY_SECONDS:.0f} s: see {stack.logs}")
    sandboxes.write_settings(stack)


def _manage(stack: Stack, environment: dict[str, str], *command: str) -> None:
    print(f"manage.py {command[0]} …", flush=True)
    log = stack.logs / "setup.log"
    with log.open("a") as output:
        result = subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        raise StackError(f"manage.py {command[0]} failed ({log}):\n{tail(log)}")


def _start_platform(stack: Stack, supervisor: Supervisor) -> None:
    supervisor.start(PLATFORM)

    def ready() -> bool:
        supervisor.require_alive(PLATFORM)
        programs = supervisor.programs()
        return all(programs[name].is_up for name in PLATFORM) and is_ready(stack)

    if not wait_until(ready, READY_SECONDS, interval=0.25):
        log = stack.logs / "payment-gateway.log"
        raise StackError(f"{stack.url}/readyz is not green after {READY_SECONDS:.0f} s ({log}):\n{tail(log)}")


@contextmanager
def _lock_start(stack: Stack) -> Iterator[None]:
    """Lets a second start wait, which then finds the stack running."""
    with (stack.run / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _print_guide(stack: Stack) -> None:
    password = "$ADMIN_PASSWORD" if "ADMIN_PASSWORD" in os.environ else "admin"
    print(f"""
The payment platform is ready.

  API        {stack.url}/api/v1        X-API-Key: test-api-key   X-Signature: test-signature
  API docs   {stack.url}/api/docs
  Admin      {stack.url}/admin/        admin / {password}
  Metrics    {stack.url}/metrics
  Checkout   {stack.url}/checkout/…    the payment_url of a new payment
  PostgreSQL {stack.database}    ./scripts/psql.sh
  Redis      {stack.redis}    ./scripts/redis-cli.sh
  Logs       {stack.logs}

  Try it:    ./scripts/test-idempotency.sh
  State:     ./scripts/status-all-services.sh
  Stop:      ./scripts/stop-all-services.sh""")
    for program, port in stack.sandbox_ports.items():
        print(f"  Sandbox:   http://127.0.0.1:{port}/        {program}")


if __name__ == "__main__":
    errors.run(main)
