"""Starts the sandbox: python -m channels.alipay.sandbox --port 8791 --data DIRECTORY

The first start makes an app with its keys, in the directory. Each start writes the settings of the platform that lead
to this sandbox into settings.env in that directory, and prints them.
"""

import argparse
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from channels.alipay.sandbox import apps, signatures
from channels.alipay.sandbox.books import Bank
from channels.alipay.sandbox.server import GATEWAY_PATH, SandboxServer

APP_KEY_FILE = "app_private_key.txt"
DATABASE_FILE = "alipay.sqlite3"
SETTINGS_FILE = "settings.env"


def main() -> None:
    options = _parse()
    os.umask(0o077)  # the folder holds private keys
    options.data.mkdir(parents=True, exist_ok=True)
    base_url = options.base_url or f"http://127.0.0.1:{options.port}"
    path = str(options.data / DATABASE_FILE)
    if options.print_settings:
        bank = Bank(path=path)
        sys.stdout.write(write_settings(bank, options.data, base_url))
        bank.close()
        return
    server = SandboxServer(
        host=options.host, port=options.port, path=path, sends_notices=True, base_url=base_url
    )
    text = write_settings(server.bank, options.data, base_url)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    sys.stdout.write(f"# Alipay sandbox at {base_url}. Settings of the platform that lead to it:\n{text}")
    sys.stdout.flush()
    stop.wait()
    server.stop()


def write_settings(bank: Bank, directory: Path, base_url: str) -> str:
    """Returns the settings, and registers the app at the first start."""
    key_file = directory / APP_KEY_FILE
    if not key_file.exists():
        _write_secretly(key_file, signatures.write_private_key(signatures.make_private_key()))
    app_key = key_file.read_text().strip()
    public_key = signatures.write_public_key(signatures.load_private_key(app_key).public_key())
    with bank.open_books() as books:
        registered = [app for app in apps.all_of(books.connection) if app.app_public_key == public_key]
        app = registered[0] if registered else _register(books.connection, public_key)
    settings = {
        "ALIPAY_TEST_APP_ID": app.app_id,
        "ALIPAY_TEST_SELLER_ID": app.seller_id,
        "ALIPAY_TEST_APP_PRIVATE_KEY": app_key,
        "ALIPAY_TEST_ALIPAY_PUBLIC_KEY": app.alipay_public_key,
        "ALIPAY_GATEWAY_URL": base_url + GATEWAY_PATH,
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    _write_secretly(directory / SETTINGS_FILE, text)
    return text


def _register(connection: sqlite3.Connection, public_key: str) -> apps.App:
    return apps.register(
        connection,
        app_public_key=public_key,
        alipay_private_key=signatures.write_private_key(signatures.make_private_key()),
    )


def _write_secretly(path: Path, text: str) -> None:
    """Readable by its owner alone; a process that is killed here leaves the old file or the new one."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m channels.alipay.sandbox", description="docs/ALIPAY-SANDBOX.md"
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the database, the keys and settings.env"
    )
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets phones of this network pay")
    parser.add_argument("--base-url", default="", help="the address in QR codes and links")
    parser.add_argument(
        "--print-settings", action="store_true", help="make the keys, print the settings, and end"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
