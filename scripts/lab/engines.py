"""The configuration of every engine, as text. Passwords are the lab's own, made when it is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.lab.plan import BANK, BROKERS, CACHES, DATABASES, EDGE, GATEWAYS, NETWORK, PREFIX_LENGTH, Host

SCOPE = "payments"  # Patroni's cluster, and Sentinel's master
DATABASE, ROLE = "payment_gateway", "payments"
POSTGRESQL_PORT, PATRONI_PORT, ETCD_PORT, ETCD_PEER_PORT = 5432, 8008, 2379, 2380
PGBOUNCER_PORT, GATEWAY_PORT, EDGE_PORT = 6432, 8000, 8080
REDIS_PORT, SENTINEL_PORT, RABBITMQ_PORT = 6379, 26379, 5672
# A primary that does not renew its lease for so long is replaced; Patroni allows no less.
LEASE_SECONDS = 20
# Every role of the platform needs these behind a pooler (docs/DEPLOYMENT.md).
ROLE_TIMEOUTS = {
    "statement_timeout": "15s",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "10s",
}


@dataclass(frozen=True, slots=True)
class Passwords:
    postgres: str
    replication: str
    rewind: str
    payments: str
    rabbitmq: str


def etcd_command(host: Host, data: Path) -> list[str]:
    """The lab has few processors: a leader that is late for half a second is no dead leader."""
    peers = ",".join(f"{each.name}=http://{each.address}:{ETCD_PEER_PORT}" for each in DATABASES)
    client, peer = f"http://{host.address}:{ETCD_PORT}", f"http://{host.address}:{ETCD_PEER_PORT}"
    options = {
        "name": host.name,
        "data-dir": str(data),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": peers,
        "initial-cluster-state": "new",
        "heartbeat-interval": "250",
        "election-timeout": "2500",
        # A host that was cut off must not force an election when it comes back: the primary would be demoted meanwhile.
        # The default from etcd 3.5 on.
        "pre-vote": "true",
        "auto-compaction-retention": "1",
        "logger": "zap",
        "log-outputs": "stderr",
    }
    return ["etcd", *(f"--{name}={value}" for name, value in options.items())]


def patroni_configuration(host: Host, data: Path, binaries: Path, passwords: Passwords) -> str:
    """Synchronous and strict: without a standby that has it, no commit is confirmed to anybody."""
    return yaml.safe_dump(
        {
            "scope": SCOPE,
            "name": host.name,
            "restapi": {
                "listen": f"{host.address}:{PATRONI_PORT}",
                "connect_address": f"{host.address}:{PATRONI_PORT}",
            },
            "etcd3": {"hosts": [f"{each.address}:{ETCD_PORT}" for each in DATABASES]},
            "bootstrap": {
                "dcs": {
                    "ttl": LEASE_SECONDS,
                    "loop_wait": 2,
                    "retry_timeout": 8,
                    # Without etcd, a primary that reaches every other member stays one.
                    "failsafe_mode": True,
                    "synchronous_mode": True,
                    "synchronous_mode_strict": True,
                    # A primary that crashed is replaced at once, instead of being waited for.
                    "primary_start_timeout": 0,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": _PARAMETERS},
                },
                "initdb": [
                    {"encoding": "UTF8"},
                    {"locale": "C"},
                    {"locale-provider": "builtin"},
                    {"builtin-locale": "C.UTF-8"},
                    "data-checksums",
                ],
            },
            "postgresql": _patroni_postgresql(host, data, binaries, passwords),
        },
        sort_keys=False,
    )


_PARAMETERS: Mapping[str, Any] = {
    "max_connections": 200,
    "shared_buffers": "64MB",
    "wal_level": "replica",
    "max_wal_senders": 8,
    "max_wal_size": "128MB",
    "min_wal_size": "48MB",
    "wal_keep_size": "64MB",
    "max_slot_wal_keep_size": "256MB",
    # Each side notices in seconds that the other has vanished.
    "wal_sender_timeout": "10s",
    "wal_receiver_timeout": "10s",
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
}


def _patroni_postgresql(host: Host, data: Path, binaries: Path, passwords: Passwords) -> dict[str, Any]:
    address = f"{host.address}:{POSTGRESQL_PORT}"
    return {
        "listen": address,
        "connect_address": address,
        "data_dir": str(data),
        "bin_dir": str(binaries),
        "pgpass": str(data.parent / "pgpass"),
        "authentication": {
            "superuser": {"username": "postgres", "password": passwords.postgres},
            "replication": {"username": "replicator", "password": passwords.replication},
            "rewind": {"username": "rewind", "password": passwords.rewind},
        },
        "pg_hba": [
            f"host replication replicator {NETWORK}.0/{PREFIX_LENGTH} scram-sha-256",
            f"host all all {NETWORK}.0/{PREFIX_LENGTH} scram-sha-256",
        ],
        # TCP only: a socket's path is limited to some hundred characters.
        "parameters": {"unix_socket_directories": ""},
        # What an old primary wrote and no standby has was confirmed to nobody.
        "remove_data_directory_on_rewind_failure": True,
        "remove_data_directory_on_diverged_timelines": True,
    }


_HAPROXY_DEFAULTS = """\
global
    maxconn 2000
    log stdout format raw local0 notice

defaults
    log global
    option dontlognull
    timeout connect 2s
"""


def database_balancer() -> str:
    """HAProxy on each application host: port 5432 leads to the primary, as Patroni's REST API tells."""
    servers = "".join(
        f"    server {each.name} {each.address}:{POSTGRESQL_PORT} check port {PATRONI_PORT}\n"
        for each in DATABASES
    )
    return f"""{_HAPROXY_DEFAULTS}
listen primary
    bind 127.0.0.1:{POSTGRESQL_PORT}
    mode tcp
    # A session of PgBouncer may be idle for long; keepalives notice a server that has vanished.
    timeout client 1h
    timeout server 1h
    option clitcpka
    option srvtcpka
    option httpchk OPTIONS /primary
    http-check expect status 200
    # Sessions of a primary that is none any more are closed, so that PgBouncer cannot use them again.
    default-server inter 1s fastinter 500ms downinter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}"""


def edge_balancer() -> str:
    """HAProxy before the gateways: a request goes to one whose /readyz answers 200, never twice to two of them."""
    servers = "".join(f"    server {each.name} {each.address}:{GATEWAY_PORT} check\n" for each in GATEWAYS)
    return f"""{_HAPROXY_DEFAULTS}
frontend public
    bind {EDGE.address}:{EDGE_PORT}
    mode http
    timeout client 60s
    timeout http-request 10s
    option forwardfor
    default_backend gateways

backend gateways
    mode http
    balance roundrobin
    timeout server 60s
    timeout queue 5s
    # Only a request that no gateway has received is sent to another one.
    option redispatch 1
    retries 2
    retry-on conn-failure
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {EDGE.address}
    http-check expect status 200
    default-server inter 1s fastinter 500ms downinter 500ms fall 3 rise 1
{servers}"""


def bank_balancer(port: int, desk_port: int) -> str:
    """The sandbox lets its customers and its books be reached from its own host only: this is the way in."""
    return f"""{_HAPROXY_DEFAULTS}
listen desk
    bind {BANK.address}:{desk_port}
    mode http
    timeout client 60s
    timeout server 60s
    server sandbox 127.0.0.1:{port}
"""


def pgbouncer_configuration(folder: Path) -> str:
    """Transaction mode; its server is the HAProxy beside it."""
    return f"""[databases]
{DATABASE} = host=127.0.0.1 port={POSTGRESQL_PORT} dbname={DATABASE}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {PGBOUNCER_PORT}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder / "pgbouncer-users.txt"}
pool_mode = transaction
default_pool_size = 16
max_client_conn = 500
; During a failover: try again at once. A request whose transaction waits for 3 s is answered 503 and comes again.
server_connect_timeout = 3
server_login_retry = 1
query_wait_timeout = 3
ignore_startup_parameters = extra_float_digits
"""


def pgbouncer_users(passwords: Passwords) -> str:
    return f'"{ROLE}" "{passwords.payments}"\n'


def redis_command(host: Host, server: Path, folder: Path) -> list[str]:
    """Without persistence: Redis holds nothing that is needed."""
    options = ["--port", str(REDIS_PORT), "--bind", host.address, "--protected-mode", "no", "--save", ""]
    options += ["--appendonly", "no", "--maxmemory-policy", "noeviction", "--dir", str(folder)]
    if host != CACHES[0]:
        options += ["--replicaof", CACHES[0].address, str(REDIS_PORT)]
    return [str(server), *options]


def sentinel_configuration(host: Host, folder: Path) -> str:
    """Sentinel rewrites this file: it is written once, when the lab is built."""
    return f"""port {SENTINEL_PORT}
bind {host.address}
protected-mode no
dir {folder}
sentinel monitor {SCOPE} {CACHES[0].address} {REDIS_PORT} 2
sentinel down-after-milliseconds {SCOPE} 3000
sentinel failover-timeout {SCOPE} 10000
sentinel parallel-syncs {SCOPE} 1
"""


def broker_node(host: Host) -> str:
    return f"rabbit@{host.address}"


def rabbitmq_configuration(host: Host, passwords: Passwords) -> str:
    """The minority of a divided cluster pauses, as RabbitMQ advises for quorum queues."""
    nodes = "".join(
        f"cluster_formation.classic_config.nodes.{at} = {broker_node(each)}\n"
        for at, each in enumerate(BROKERS, start=1)
    )
    return f"""listeners.tcp.1 = {host.address}:{RABBITMQ_PORT}
cluster_formation.peer_discovery_backend = classic_config
{nodes}cluster_partition_handling = pause_minority
default_user = {ROLE}
default_pass = {passwords.rabbitmq}
loopback_users = none
vm_memory_high_watermark.absolute = 256MB
disk_free_limit.absolute = 100MB
log.console = true
log.console.level = warning
log.file = false
"""


def rabbitmq_environment(host: Host, folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),  # of the Erlang cookie
        "RABBITMQ_NODENAME": broker_node(host),
        "RABBITMQ_USE_LONGNAME": "true",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        # One scheduler that sleeps when it has nothing to do, since all hosts share a few processors.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
