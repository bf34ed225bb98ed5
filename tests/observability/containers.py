"""Runs the services of docker-compose.yml as processes on this machine, with the command, environment and health check
of the file. Only names of containers are replaced by addresses, and paths inside a container by directories of the
test.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from scripts.local.config import ROOT
from tests.observability.receiver import Receiver, receiver
from tests.support.kafka import MockCluster
from tests.support.processes import Process, free_port
from tests.support.waiting import PATIENCE_SECONDS, wait_until

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
LONG_RUNNING = (
    "payment-gateway",
    "payment-sagas-live",
    "payment-sagas-test",
    "payment-poller",
    "payment-worker",
    "payment-beat",
    "payment-relay",
    "payment-webhooks",
)

# Shorter intervals than in production, so that tests wait less. All other settings are those of the file.
HURRY = {
    "SAGA_SWEEP_SECONDS": "0.5",
    "SAGA_RETRY_BASE_SECONDS": "0.2",
    "WEB_WORKERS": "2",
    "WEB_THREADS": "4",
}


class Containers:
    def __init__(
        self,
        directory: Path,
        database: str,
        collector: Receiver,
        kafka: MockCluster,
        changes: Mapping[str, str],
    ) -> None:
        self.directory, self.collector, self.kafka = directory, collector, kafka
        self._changes = changes
        self.port = free_port()
        self.metrics_ports = {name: free_port() for name in LONG_RUNNING[1:]}
        self.addresses = {
            "payment-postgres:5432": (os.environ["DB_HOST"], os.environ["DB_PORT"]),
            "payment-redis:6379": (os.environ["REDIS_HOST"], os.environ["REDIS_PORT"]),
            "payment-gateway:40003": ("127.0.0.1", str(self.port)),
            "jaeger:4318": ("127.0.0.1", str(collector.port)),
            **{f"{name}:9100": ("127.0.0.1", str(port)) for name, port in self.metrics_ports.items()},
        }
        self._database = database
        self._processes: dict[str, Process] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, service: str) -> subprocess.CompletedProcess[str]:
        """Runs a container that ends by itself, such as the migrations."""
        return subprocess.run(
            self.command(service),
            cwd=ROOT,
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE_SECONDS,  # migrations take half a minute of CPU
        )

    def start(self, service: str) -> None:
        log = self.directory / f"{service}.log"
        process = Process(service, self.command(service), log, self.environment(service))
        self._processes[service] = process
        process.start()

    def restart(self, service: str) -> None:
        """Does what `docker compose kill` and `up` do: starts a new container with a directory of its own."""
        self._processes[service].kill()
        self._processes[service].environment = self.environment(service)
        self._processes[service].start()
        self.wait_until_healthy(service)

    def wait_until_healthy(self, service: str) -> None:
        def healthy() -> bool:
            self._processes[service].require_running()
            return self._check(service)

        wait_until(healthy, PATIENCE_SECONDS, f"{service} to be healthy", interval=0.3)

    def stop(self) -> None:
        for process in self._processes.values():
            process.kill()

    def lines(self, service: str) -> list[str]:
        return (self.directory / f"{service}.log").read_text().splitlines()

    def objects(self, service: str) -> list[dict[str, Any]]:
        """Returns the log of the service. Each line must be a JSON object."""
        return [json.loads(line) for line in self.lines(service)]

    def command(self, service: str) -> list[str]:
        words = SERVICES[service].get("command") or _image_command()
        return [*_interpreter(words[0]), *(self._on_this_machine(word, service) for word in words[1:])]

    def environment(self, service: str) -> dict[str, str]:
        stated = {**_image_environment(), **SERVICES[service]["environment"]}
        stated = {
            name: self._on_this_machine(_interpolated(str(value)), service) for name, value in stated.items()
        }
        ours = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": os.environ.get("HOME", "/"),
            "WEB_HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DB_HOST": os.environ["DB_HOST"],
            "DB_PORT": os.environ["DB_PORT"],
            "DB_USER": os.environ["DB_USER"],
            "DB_PASSWORD": os.environ["DB_PASSWORD"],
            "DB_NAME": self._database,
            "REDIS_HOST": os.environ["REDIS_HOST"],
            "REDIS_PORT": os.environ["REDIS_PORT"],
            "REDIS_DB": str(_redis_database()),
            "STATIC_ROOT": os.environ["STATIC_ROOT"],
            "PROMETHEUS_MULTIPROC_DIR": tempfile.mkdtemp(prefix="metrics-", dir=self.directory),
            "LOCAL_DIR": str(self.directory),
            "KAFKA_BROKERS": self.kafka.brokers,
        }
        if "METRICS_PORT" in stated:
            ours["METRICS_PORT"] = str(self.metrics_ports[service])
        return {**stated, **ours, **HURRY, **self._changes}

    def _check(self, service: str) -> bool:
        kind, *words = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        words = [*_interpreter(words[0]), *(self._on_this_machine(word, service) for word in words[1:])]
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE_SECONDS)
        return done.returncode == 0

    def _on_this_machine(self, text: str, service: str) -> str:
        for name, (host, port) in self.addresses.items():
            text = text.replace(name, f"{host}:{port}")
        if service in self.metrics_ports:
            text = text.replace("127.0.0.1:9100", f"127.0.0.1:{self.metrics_ports[service]}")
        return text.replace("127.0.0.1:40003", f"127.0.0.1:{self.port}").replace(
            "/tmp/", f"{self.directory}/"
        )


@contextmanager
def containers(directory: Path, **changes: str) -> Iterator[Containers]:
    """Starts all services of the platform and waits until they are healthy. `changes` are settings of `.env`."""
    with ExitStack() as stack:
        running = Containers(
            directory,
            stack.enter_context(_empty_database()),
            stack.enter_context(receiver()),
            stack.enter_context(MockCluster()),
            changes,
        )
        migrated = running.run("payment-migrate")
        assert migrated.returncode == 0, migrated.stderr
        stack.callback(running.stop)
        for service in LONG_RUNNING:
            running.start(service)
        for service in LONG_RUNNING:
            running.wait_until_healthy(service)
        yield running


@contextmanager
def _empty_database() -> Iterator[str]:
    name = sql.Identifier(f"containers_{uuid.uuid4().hex}")
    with psycopg.connect(
        host=os.environ["DB_HOST"],
        port=os.environ["DB_PORT"],
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield name.as_string(connection).strip('"')
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _redis_database() -> int:
    """A database of this Redis server that no other test uses: the first one is theirs."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return 1 + int(worker) % 15


def _interpreter(program: str) -> list[str]:
    """Runs a console script as a module of this interpreter: the script itself names an interpreter by its path."""
    return {"python": [sys.executable], "celery": [sys.executable, "-m", "celery"]}.get(program, [program])


def _interpolated(text: str) -> str:
    """Replaces `${NAME:-default}` by the default, as if no variable were set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def _instructions() -> list[str]:
    return (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def _image_command() -> list[str]:
    (command,) = (line.removeprefix("CMD ") for line in _instructions() if line.startswith("CMD "))
    words: list[str] = json.loads(command)
    return words


def _image_environment() -> dict[str, str]:
    (line,) = (line.removeprefix("ENV ") for line in _instructions() if line.startswith("ENV "))
    pairs = dict(word.split("=", 1) for word in shlex.split(line))
    return {name: value for name, value in pairs.items() if name != "PATH"}
