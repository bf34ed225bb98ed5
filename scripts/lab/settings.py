"""The secrets of a lab and the settings of the platform's processes: only what every operator sets."""

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.lab.engines import (
    DATABASE,
    EDGE_PORT,
    GATEWAY_PORT,
    PGBOUNCER_PORT,
    POSTGRESQL_PORT,
    RABBITMQ_PORT,
    ROLE,
    SCOPE,
    SENTINEL_PORT,
    Passwords,
)
from scripts.lab.plan import BANK, BROKERS, CACHES, DATABASES, EDGE, GATEWAYS, Folders, Host

BANK_PORT, BANK_DESK_PORT = 40004, 40014
PUBLIC_URL = f"http://{EDGE.address}:{EDGE_PORT}"
BANK_URL = f"http://{BANK.address}:{BANK_PORT}"
# Where customers pay and the books are read.
BANK_DESK_URL = f"http://{BANK.address}:{BANK_DESK_PORT}"
_SENTINELS = ",".join(f"{each.address}:{SENTINEL_PORT}" for each in CACHES)


@dataclass(frozen=True, slots=True)
class Secrets:
    passwords: Passwords
    platform: dict[str, str]

    @classmethod
    def load(cls, folders: Folders) -> "Secrets":
        values = json.loads(_file(folders).read_text())
        return cls(Passwords(**values["passwords"]), values["platform"])

    @classmethod
    def make(cls, folders: Folders) -> "Secrets":
        words = [secrets.token_hex(16) for _field in Passwords.__dataclass_fields__]
        platform = {
            name: secrets.token_urlsafe(48)
            for name in ("SECRET_KEY", "KEYED_HASH_SECRET", "SIMULATOR_WEBHOOK_SECRET")
        }
        platform["PAYMENT_MASTER_KEYS"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        made = cls(Passwords(*words), platform)
        with os.fdopen(os.open(_file(folders), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
            json.dump(asdict(made), output)
        return made


def _file(folders: Folders) -> Path:
    return folders.home / "secrets.json"


def platform_settings(folders: Folders, lab_secrets: Secrets, host: Host | None = None) -> dict[str, str]:
    """The settings of the platform's processes on a host; without one, of a command on this machine, which has no
    pooler beside it."""
    here = folders.home if host is None else folders.of(host)
    direct = ",".join(each.address for each in DATABASES)
    through_pooler = {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(PGBOUNCER_PORT),
        "DB_TRANSACTION_POOLING": "1",
        "DB_DIRECT_HOST": direct,
        "DB_DIRECT_PORT": str(POSTGRESQL_PORT),
    }
    straight = {"DB_HOST": direct, "DB_PORT": str(POSTGRESQL_PORT)}
    return {
        **lab_secrets.platform,
        **(straight if host is None else through_pooler),
        "DB_USER": ROLE,
        "DB_PASSWORD": lab_secrets.passwords.payments,
        "DB_NAME": DATABASE,
        "REDIS_URL": f"sentinel://{_SENTINELS}/{SCOPE}/0",
        "CELERY_BROKER_URL": _broker_url(lab_secrets.passwords),
        "PORT": str(GATEWAY_PORT),
        "WEB_WORKERS": "1",
        "PUBLIC_BASE_URL": PUBLIC_URL,
        "ALLOWED_HOSTS": ",".join(each.address for each in (EDGE, *GATEWAYS)),
        "TRUSTED_PROXIES": f"{EDGE.address}/32",
        "SIMULATOR_WEBHOOK_URL": f"{PUBLIC_URL}/api/v1/webhooks/simulator",
        **({} if host is None else {"PROMETHEUS_MULTIPROC_DIR": str(here / "metrics")}),
        "STATIC_ROOT": str(folders.home / "static"),
        "MEDIA_ROOT": str(folders.home / "media"),
        "LOCAL_DIR": str(here),  # not the local stack's secrets
        **read_bank_settings(folders),
    }


def _broker_url(passwords: Passwords) -> str:
    return ";".join(
        f"amqp://{ROLE}:{passwords.rabbitmq}@{each.address}:{RABBITMQ_PORT}//" for each in BROKERS
    )


def bank_folder(folders: Folders) -> Path:
    return folders.of(BANK) / "wechat"


def read_bank_settings(folders: Folders) -> dict[str, str]:
    """The account at the sandbox, once it has run."""
    file = bank_folder(folders) / "settings.env"
    if not file.exists():
        return {}
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
