"""The local stack's secrets, made once: values encrypted with them must stay readable after a restart."""

import base64
import os
import secrets
from pathlib import Path

from scripts.local.config import Stack


def load_or_create(stack: Stack) -> dict[str, str]:
    path = stack.local / "secrets.env"
    if not path.exists():
        _write(path)
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _write(path: Path) -> None:
    values = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "SIMULATOR_WEBHOOK_SECRET": secrets.token_urlsafe(48),
        "PAYMENT_MASTER_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        # With these two, `manage.py` in a terminal uses the settings of the running stack.
        "LOCAL_STACK": "1",
        "PAYMENT_DEMO": "1",
    }
    text = "# Made by scripts/start-all-services.sh. Without it, encrypted data cannot be read.\n"
    text += "".join(f"{name}={value}\n" for name, value in values.items())
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.rename(path)
