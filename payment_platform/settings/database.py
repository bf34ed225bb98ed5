"""PostgreSQL: the only source of truth."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.addresses import require_addresses
from payment_platform.settings.base import LOCAL_STACK, SERVICE_NAME, env

# PostgreSQL ends a statement that runs longer; migrations have no limit.
STATEMENT_TIMEOUT_SECONDS = env.int("STATEMENT_TIMEOUT_SECONDS", default=15)
# One host, or several with commas, of which one takes writes (libpq's syntax).
DB_HOST: str = env.str("DB_HOST", default="localhost")
# PostgreSQL port: one for all hosts, or one for each, with commas.
DB_PORT: str = env.str("DB_PORT", default="40432")
require_addresses("DB_HOST", DB_HOST, "DB_PORT", DB_PORT)
# A pooler that gives each transaction another session stands at DB_HOST, such as PgBouncer in transaction mode.
DB_TRANSACTION_POOLING = env.bool("DB_TRANSACTION_POOLING", default=False)
# PostgreSQL itself, for migrations, the relay and periodic tasks: they need a session for long. Required with a
# pooler.
DB_DIRECT_HOST: str = env.str("DB_DIRECT_HOST", default=DB_HOST)
# Its port.
DB_DIRECT_PORT: str = env.str("DB_DIRECT_PORT", default=DB_PORT)
require_addresses("DB_DIRECT_HOST", DB_DIRECT_HOST, "DB_DIRECT_PORT", DB_DIRECT_PORT)
if DB_TRANSACTION_POOLING and (DB_DIRECT_HOST, DB_DIRECT_PORT) == (DB_HOST, DB_PORT):
    raise ImproperlyConfigured(
        "DB_TRANSACTION_POOLING: name PostgreSQL itself with DB_DIRECT_HOST or DB_DIRECT_PORT, because migrations,"
        " the relay and periodic tasks cannot work through a pooler."
    )
# Whether statements are prepared on their third use. A pooler must know prepared statements: PgBouncer from 1.21, with
# max_prepared_statements.
DB_PREPARED_STATEMENTS = env.bool("DB_PREPARED_STATEMENTS", default=not DB_TRANSACTION_POOLING)
# After this time without a sign of life, a server whose host has vanished counts as lost. The kernel alone needs about
# 15 minutes.
DB_TCP_TIMEOUT_SECONDS: int = env.int("DB_TCP_TIMEOUT_SECONDS", default=10)
if not 2 <= DB_TCP_TIMEOUT_SECONDS <= 60:
    raise ImproperlyConfigured(f"DB_TCP_TIMEOUT_SECONDS={DB_TCP_TIMEOUT_SECONDS}: give 2 to 60 seconds.")
# Locks of a dead client must not outlive a lease, so idle transactions end before.
_SESSION_OPTIONS = (
    f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000}"
    " -c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000"
    # To compile a statement of the work queue would take longer than to run it. PostgreSQL does so above a certain
    # estimate of its cost.
    " -c jit=off"
)
DATABASE: dict[str, Any] = {
    "ENGINE": "common.postgresql",
    "HOST": DB_HOST,
    "PORT": DB_PORT,
    # PostgreSQL role.
    "USER": env.str("DB_USER", default="postgres"),
    # Its password.
    "PASSWORD": env.str("DB_PASSWORD", default="postgres" if LOCAL_STACK else ""),
    # PostgreSQL database.
    "NAME": env.str("DB_NAME", default="payment_gateway"),
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        # For each host. With several, the pool still waits for the second one when the first does not answer.
        "connect_timeout": 2 if "," in DB_HOST else 5,
        # Skips a server that has become a standby: the next host, or another try, until one takes writes.
        "target_session_attrs": "read-write",
        "tcp_user_timeout": DB_TCP_TIMEOUT_SECONDS
        * 1000,  # milliseconds; also ends the probes of an idle session
        "keepalives_idle": DB_TCP_TIMEOUT_SECONDS // 2,
        "keepalives_interval": 1,
        "keepalives_count": DB_TCP_TIMEOUT_SECONDS,
        # Planning these statements costs more than running them.
        "server_side_binding": True,
        "prepare_threshold": 3 if DB_PREPARED_STATEMENTS else None,
        "application_name": SERVICE_NAME,
        # A pooler accepts no options: there the role has the timeouts, and the gateway checks them when it starts.
        **({} if DB_TRANSACTION_POOLING else {"options": _SESSION_OPTIONS}),
        "pool": {
            "min_size": 1,
            # Connections to PostgreSQL per process, at most.
            "max_size": env.int("DB_POOL_MAX_SIZE", default=16),
            # During an outage threads give up after 3 s, and connections come back within 5 s of its end.
            "timeout": 3,
            "reconnect_timeout": 5,
        },
    },
    # A cursor of the server's belongs to one session.
    "DISABLE_SERVER_SIDE_CURSORS": DB_TRANSACTION_POOLING,
}
# What differs for a session of PostgreSQL's own (common/postgresql/sessions.py).
DIRECT_DATABASE = {
    "HOST": DB_DIRECT_HOST,
    "PORT": DB_DIRECT_PORT,
    "OPTIONS": {
        **{name: value for name, value in DATABASE["OPTIONS"].items() if name != "pool"},
        "prepare_threshold": 3,
        "options": _SESSION_OPTIONS,
    },
    "DISABLE_SERVER_SIDE_CURSORS": False,
}
# A streaming replica, from which background exports, scheduled reports and lists of the back office read while it is
# not too far behind. One host, or several with commas, of which one is a standby. Empty: all reads are of the primary.
DB_REPLICA_HOST: str = env.str("DB_REPLICA_HOST", default="")
# Its port.
DB_REPLICA_PORT: str = env.str("DB_REPLICA_PORT", default="5432")
# How far behind the primary it may be.
DB_REPLICA_MAX_LAG_SECONDS: float = env.float("DB_REPLICA_MAX_LAG_SECONDS", default=5.0)
if not 0 <= DB_REPLICA_MAX_LAG_SECONDS <= 300:
    raise ImproperlyConfigured(
        f"DB_REPLICA_MAX_LAG_SECONDS={DB_REPLICA_MAX_LAG_SECONDS:g}: give 0 to 300 seconds."
    )
# The simulator commits its ledger on a connection of its own, as a bank would: when a transaction of the platform
# rolls back, the ledger keeps what "the channel" did (ADR 4).
DATABASES = {"default": DATABASE, "simulator": {**DATABASE, "TEST": {"MIRROR": "default"}}}
if DB_REPLICA_HOST:
    require_addresses("DB_REPLICA_HOST", DB_REPLICA_HOST, "DB_REPLICA_PORT", DB_REPLICA_PORT)
    _OPTIONS = DATABASE["OPTIONS"]
    DATABASES["replica"] = {
        **DATABASE,
        "HOST": DB_REPLICA_HOST,
        "PORT": DB_REPLICA_PORT,
        "OPTIONS": {
            **_OPTIONS,
            "connect_timeout": 2,
            "target_session_attrs": "standby",
            # Opened by the first read. When it is gone, a page waits for it a second, and then reads the primary.
            "pool": {**_OPTIONS["pool"], "min_size": 0, "timeout": 1},
        },
        "TEST": {"MIRROR": "default"},
    }
DATABASE_ROUTERS = ["channels.simulator.router.SimulatorRouter", "common.postgresql.router.ReplicaRouter"]
