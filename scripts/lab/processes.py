"""Which commands run on which host."""

import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from scripts.lab import engines
from scripts.lab.network import command_in
from scripts.lab.plan import (
    APPLICATION_HOSTS,
    BANK,
    BROKERS,
    CACHES,
    DATABASES,
    EDGE,
    GATEWAYS,
    WORKERS,
    Folders,
    Host,
)
from scripts.lab.settings import BANK_DESK_PORT, BANK_PORT, BANK_URL, Secrets, bank_folder, platform_settings
from scripts.local.config import ROOT
from scripts.local.wheels import PACKAGES, POSTGRES_BIN, REDIS_BIN

RABBITMQ_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
HAPROXY, PGBOUNCER = "/usr/sbin/haproxy", "/usr/sbin/pgbouncer"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabProgram:
    """One command that runs for as long as its host does."""

    host: Host
    part: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    as_nobody: bool = False
    stop_signal: str = "TERM"
    is_platform: bool = False
    code: Path = ROOT  # the release that it runs

    @property
    def name(self) -> str:
        return f"{self.host.name}.{self.part}"

    def to_script(self) -> str:
        """A shell script that becomes the command. It knows nothing of the environment in which it is started."""
        base = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        pairs = [f"{name}={value}" for name, value in {**base, **self.environment}.items()]
        command = ["env", "-i", *pairs, *command_in(self.host, self.command, as_nobody=self.as_nobody)]
        return f"#!/bin/sh\ncd {shlex.quote(str(self.code))} && exec {shlex.join(command)}\n"


def list_programs(folders: Folders, lab_secrets: Secrets) -> list[LabProgram]:
    """All of them, in the order in which they start."""
    return [*list_engines(folders), *list_platform(folders, lab_secrets)]


def list_engines(folders: Folders) -> list[LabProgram]:
    databases = [program for host in DATABASES for program in _database(host, folders)]
    caches = [program for host in CACHES for program in _cache(host, folders)]
    edge = LabProgram(host=EDGE, part="haproxy", command=_haproxy(folders.of(EDGE)))
    balancers = [program for host in APPLICATION_HOSTS for program in _way_to_database(host, folders)]
    return [
        *databases,
        *caches,
        *[_broker(host, folders) for host in BROKERS],
        *_bank(folders),
        *balancers,
        edge,
    ]


def list_platform(folders: Folders, lab_secrets: Secrets, code: Path = ROOT) -> list[LabProgram]:
    """What the local stack runs as well (deploy/supervisord.conf), spread over hosts. `code` is the release."""
    celery = ["-m", "celery", "--app", "payment_platform.celery:app"]
    worker = [*celery, "worker", "--loglevel", "INFO", "--pool", "threads", "--concurrency", "4"]
    worker += ["--without-gossip", "--without-mingle"]
    on_gateways = {
        "web": ["manage.py", "serve"],
        "relay": ["manage.py", "relay"],
        "webhooks": ["manage.py", "deliver_webhooks"],
    }
    on_workers = {
        "celery": [*worker, "--hostname"],
        "sagas": ["manage.py", "run_sagas", "live", "test", "default"],
        "poller": ["manage.py", "poll_payments"],
    }
    found = []
    for hosts, parts in ((GATEWAYS, on_gateways), (WORKERS, on_workers)):
        for host in hosts:
            for part, arguments in parts.items():
                ours = [*arguments, f"payments@{host.name}"] if part == "celery" else arguments
                found.append(_ours(host, part, ours, folders, lab_secrets, code))
    schedule = ["--pidfile=", "--schedule", str(folders.of(WORKERS[0]) / "celerybeat-schedule")]
    beat = [*celery, "beat", "--loglevel", "INFO", *schedule]
    return [*found, _ours(WORKERS[0], "beat", beat, folders, lab_secrets, code)]


def _ours(
    host: Host, part: str, arguments: list[str], folders: Folders, lab_secrets: Secrets, code: Path
) -> LabProgram:
    environment = {
        **platform_settings(folders, lab_secrets, host),
        "SERVICE_NAME": f"payment-{part}-{host.name}",
    }
    return LabProgram(
        host=host,
        part=part,
        command=[sys.executable, *arguments],
        environment=environment,
        is_platform=True,
        code=code,
    )


def _database(host: Host, folders: Folders) -> list[LabProgram]:
    folder = folders.of(host)
    etcd = LabProgram(host=host, part="etcd", command=engines.etcd_command(host, folder / "etcd"))
    patroni = LabProgram(
        host=host,
        part="patroni",
        command=[sys.executable, "-m", "patroni", str(folder / "patroni.yml")],
        as_nobody=True,
    )
    return [etcd, patroni]


def _cache(host: Host, folders: Folders) -> list[LabProgram]:
    """Two servers and three sentinels."""
    server, folder = PACKAGES / REDIS_BIN / "redis-server", folders.of(host)
    sentinel = [str(server), str(folder / "sentinel.conf"), "--sentinel"]
    found = [LabProgram(host=host, part="sentinel", command=sentinel)]
    if host in CACHES[:2]:
        found.append(LabProgram(host=host, part="redis", command=engines.redis_command(host, server, folder)))
    return found


def _broker(host: Host, folders: Folders) -> LabProgram:
    environment = engines.rabbitmq_environment(host, folders.of(host))
    return LabProgram(host=host, part="rabbitmq", command=[RABBITMQ_SERVER], environment=environment)


def _bank(folders: Folders) -> list[LabProgram]:
    command = [sys.executable, "-m", "channels.wechat.sandbox", "--host", "0.0.0.0"]
    command += ["--port", str(BANK_PORT), "--base-url", BANK_URL, "--data", str(bank_folder(folders))]
    desk = LabProgram(host=BANK, part="haproxy", command=_haproxy(folders.of(BANK)))
    return [LabProgram(host=BANK, part="wechat", command=command), desk]


def _way_to_database(host: Host, folders: Folders) -> list[LabProgram]:
    folder = folders.of(host)
    pgbouncer = [PGBOUNCER, str(folder / "pgbouncer.ini")]
    return [
        LabProgram(host=host, part="haproxy", command=_haproxy(folder)),
        # SIGINT lets the transactions end that it serves.
        LabProgram(host=host, part="pgbouncer", command=pgbouncer, as_nobody=True, stop_signal="INT"),
    ]


def _haproxy(folder: Path) -> list[str]:
    return [HAPROXY, "-W", "-db", "-f", str(folder / "haproxy.cfg")]


def write_configurations(folders: Folders, lab_secrets: Secrets) -> None:
    """Every engine's files."""
    passwords = lab_secrets.passwords
    for host in DATABASES:
        folder = folders.of(host)
        text = engines.patroni_configuration(host, folder / "postgres", PACKAGES / POSTGRES_BIN, passwords)
        _write(folder / "patroni.yml", text)
    for host in APPLICATION_HOSTS:
        folder = folders.of(host)
        _write(folder / "haproxy.cfg", engines.database_balancer())
        _write(folder / "pgbouncer.ini", engines.pgbouncer_configuration(folder))
        _write(folder / "pgbouncer-users.txt", engines.pgbouncer_users(passwords))
    _write(folders.of(EDGE) / "haproxy.cfg", engines.edge_balancer())
    _write(folders.of(BANK) / "haproxy.cfg", engines.bank_balancer(BANK_PORT, BANK_DESK_PORT))
    for host in CACHES:
        _write(folders.of(host) / "sentinel.conf", engines.sentinel_configuration(host, folders.of(host)))
    for host in BROKERS:
        folder = folders.of(host)
        _write(folder / "rabbitmq.conf", engines.rabbitmq_configuration(host, passwords))
        _write(folder / "enabled_plugins", "[].\n")
        _write(folder / ".erlang.cookie", passwords.rabbitmq)
        (folder / ".erlang.cookie").chmod(0o400)


def _write(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
