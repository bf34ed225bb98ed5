"""Starts the sandbox: python -m channels.wechat.sandbox --port 40004 --data DIRECTORY

The first start makes the keys, in the directory. Each start writes the settings of the platform that lead to this
sandbox into settings.env in that directory, and prints them.
"""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from channels.wechat.sandbox.keys import KeyFolder, format_public_key, load_or_create, write_secretly
from channels.wechat.sandbox.server import run_sandbox

DEFAULT_MCHID = "1900000109"
SETTINGS_FILE = "settings.env"


def main() -> int:
    options = _parse_options()
    folder = load_or_create(options.data, options.mchid or [DEFAULT_MCHID])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with run_sandbox(
        folder.platform,
        [identity.merchant for identity in folder.identities],
        host=options.host,
        port=options.port,
        books_file=options.data / "books.sqlite3",
        has_web_links=options.code_url == "http",
    ) as bank:
        if options.base_url:
            bank.base_url = options.base_url
        settings = format_settings(folder, bank.base_url)
        write_secretly(options.data / SETTINGS_FILE, settings)
        sys.stdout.write(
            f"# WeChat Pay sandbox at {bank.base_url}. Settings of the platform that lead to it:\n"
        )
        sys.stdout.write(settings)
        sys.stdout.flush()
        stopped.wait()
    return 0


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m channels.wechat.sandbox", description="docs/WECHAT-SANDBOX.md"
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of the keys and the books")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets phones of this network pay")
    parser.add_argument(
        "--base-url", default="", help="the address in links, if it is another than the port's"
    )
    parser.add_argument("--mchid", action="append", help=f"a merchant; may be repeated ({DEFAULT_MCHID})")
    parser.add_argument(
        "--code-url", choices=("weixin", "http"), default="weixin", help="the kind of QR codes"
    )
    return parser.parse_args()


def format_settings(folder: KeyFolder, base_url: str) -> str:
    """The settings of the platform that use the first merchant; line ends within a key are written as \\n.

    The other merchants follow as comments: their values are the credentials of channel accounts.
    """
    lines = []
    for number, identity in enumerate(folder.identities):
        merchant = identity.merchant
        settings = {
            "WECHAT_API_BASE": base_url,
            "WECHAT_TEST_MCH_ID": merchant.mchid,
            "WECHAT_TEST_APP_ID": merchant.appid,
            "WECHAT_TEST_API_V3_KEY": merchant.apiv3_key,
            "WECHAT_TEST_PRIVATE_KEY": identity.private_key_pem,
            "WECHAT_TEST_CERTIFICATE_SERIAL_NO": merchant.certificate_serial,
            "WECHAT_TEST_PUBLIC_KEY_ID": merchant.public_key_id,
            "WECHAT_TEST_PUBLIC_KEY": format_public_key(folder.platform.public_key_pair),
        }
        mark = "# " if number else ""
        lines += [f"{mark}{name}={_in_one_line(value)}" for name, value in settings.items()]
    return "".join(f"{line}\n" for line in lines)


def _in_one_line(value: str) -> str:
    return value.strip().replace("\n", "\\n")


if __name__ == "__main__":
    sys.exit(main())
