"""Starts the sandbox: python -m channels.alipay.sandbox --port 8791 --data DIRECTORY

The first start makes an app with its keys, in the directory. Each start writes the settings of the platform that lead
to this sandbox into settings.env in that directory, and prints them.
"""

import argparse
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from channels.alipay.sandbox import apps, signatures
from channels.alipay.sandbox.server import SandboxServer

APP_KEY_FILE = "app_private_key.txt"
DATABASE_FILE = "alipay.sqlite3"
SETTINGS_FILE = "settings.env"


def main(arguments: list[str] | None = None) -> None:
    options = _parse(arguments)
    options.data.mkdir(parents=True, exist_ok=True)
    server = SandboxServer(
        host=options.host,
        port=options.port,
        path=str(options.data / DATABASE_FILE),
        sends_notices=True,
        public_url=options.public_url,
    )
    text = write_settings(server, options.data)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    sys.stdout.write(
        f"# Alipay sandbox at {server.base_url}. Settings of the platform that lead to it:\n{text}"
    )
    sys.stdout.flush()
    stop.wait()
    server.stop()


def write_settings(server: SandboxServer, directory: Path) -> str:
    """Returns the settings, and registers the app at the first start."""
    key_file = directory / APP_KEY_FILE
    if not key_file.exists():
        _write_secretly(key_file, signatures.write_private_key(signatures.make_private_key()))
    app_key = key_file.read_text().strip()
    with server.bank.open_books() as books:
        registered = apps.all_of(books.connection)
        app = registered[0] if registered else _register(books.connection, app_key)
    settings = {
        "ALIPAY_TEST_APP_ID": app.app_id,
        "ALIPAY_TEST_SELLER_ID": app.seller_id,
        "ALIPAY_TEST_APP_PRIVATE_KEY": app_key,
        "ALIPAY_TEST_ALIPAY_PUBLIC_KEY": app.alipay_public_key,
        "ALIPAY_GATEWAY_URL": server.gateway_url,
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    _write_secretly(directory / SETTINGS_FILE, text)
    return text


def _register(connection: sqlite3.Connection, app_key: str) -> apps.App:
    public_key = signatures.load_private_key(app_key).public_key()
    return apps.register(
        connection,
        app_public_key=signatures.write_public_key(public_key),
        alipay_private_key=signatures.write_private_key(signatures.make_private_key()),
    )


def _write_secretly(path: Path, text: str) -> None:
    """Readable by its owner alone."""
    path.touch(mode=0o600)
    path.write_text(text)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m channels.alipay.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="directory of the database, the keys and settings.env"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--public-url", default="", help="address in QR codes and links; default: where it listens"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
