"""A writer on the side of a cut that must not accept writes. It runs inside the namespace of a host:

    python -m scripts.lab.losing_side < ORDERS

Prints each write that was confirmed to it as a line, until its standard input ends. Orders are one line of JSON: where
to write (`database` or `gateway`) and the credentials.
"""

import json
import secrets
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Self

import psycopg

from scripts.lab.client import Client
from scripts.lab.database import WITNESS
from scripts.lab.engines import GATEWAY_PORT, POSTGRESQL_PORT
from scripts.lab.network import command_in
from scripts.lab.plan import Host
from scripts.local.config import ROOT

PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Confirmed:
    at: float
    name: str  # the row, or the payment


class Writer:
    """The process, seen from outside."""

    def __init__(self, host: Host, orders: dict[str, Any]) -> None:
        self._confirmed: list[Confirmed] = []
        self._process = subprocess.Popen(
            command_in(host, [sys.executable, "-m", "scripts.lab.losing_side"]),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(orders | {"address": host.address}) + "\n")
        self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @classmethod
    def at_database(cls, host: Host, user: str, password: str) -> Self:
        """Writes straight into PostgreSQL on that host."""
        return cls(host, {"kind": "database", "user": user, "password": password})

    @classmethod
    def at_gateway(cls, host: Host, merchant: dict[str, str]) -> Self:
        """Creates payments at that gateway."""
        return cls(host, {"kind": "gateway", "merchant": merchant})

    def has_begun(self) -> bool:
        return bool(self._confirmed)

    def stop(self) -> list[Confirmed]:
        """Everything that was confirmed to it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        return self._confirmed

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            at, name = line.split()
            self._confirmed.append(Confirmed(float(at), name))


def main() -> None:
    orders = json.loads(sys.stdin.readline())
    end = threading.Event()
    threading.Thread(target=_wait_for_end, args=[end], daemon=True).start()
    write = _write_to_database if orders["kind"] == "database" else _create_payment
    while not end.wait(PAUSE_SECONDS):
        if name := write(orders):
            print(time.time(), name, flush=True)


def _wait_for_end(end: threading.Event) -> None:
    sys.stdin.read()
    end.set()


def _write_to_database(orders: dict[str, Any]) -> str | None:
    """The name of the row when its commit was confirmed."""
    name = secrets.token_hex(8)
    try:
        with psycopg.connect(
            host=orders["address"],
            port=POSTGRESQL_PORT,
            user=orders["user"],
            password=orders["password"],
            dbname=WITNESS,
            connect_timeout=3,
            autocommit=True,
        ) as session:
            session.execute("INSERT INTO writes VALUES (%s, clock_timestamp())", [name])
    except psycopg.Error:
        return None
    return name


def _create_payment(orders: dict[str, Any]) -> str | None:
    """The number of the payment when it was confirmed."""
    client = Client(f"http://{orders['address']}:{GATEWAY_PORT}", orders["merchant"])
    body = {
        "order_no": f"LAB-{secrets.token_hex(8)}",
        "amount": 10_000,
        "currency": "USD",
        "channel": "simulator",
        "subject": "Coffee",
        "metadata": {"simulate": "auto_pay"},
    }
    answer = client.request("POST", "/api/v1/payments", body, key=f"lab-{secrets.token_hex(16)}")
    return str(answer.data["payment_no"]) if answer.status == 200 else None


if __name__ == "__main__":
    main()
