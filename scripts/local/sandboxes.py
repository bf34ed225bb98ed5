"""The banks to test against (WeChat Pay, Alipay), which `start --with-sandboxes` runs beside the platform."""

import os
import socket
from pathlib import Path

from scripts.local.config import Stack

# Each sandbox writes the settings that lead to it here, in its folder; the platform reads all of them in one file.
_SETTINGS_FILE = "settings.env"


def get_folder(stack: Stack, program: str) -> Path:
    return stack.local / program


def forget_settings(stack: Stack) -> None:
    """Without the file, the channels have no account. Also removes what an earlier start of the sandboxes wrote."""
    _get_platform_file(stack).unlink(missing_ok=True)
    for program in stack.sandbox_ports:
        (get_folder(stack, program) / _SETTINGS_FILE).unlink(missing_ok=True)


def are_ready(stack: Stack) -> bool:
    """Whether each sandbox listens and has written its settings."""
    return all(
        _listens(port) and _read_settings(stack, program).endswith("\n")
        for program, port in stack.sandbox_ports.items()
    )


def write_settings(stack: Stack) -> None:
    """Writes the file that payment_platform/settings/base.py reads."""
    text = "# Made by scripts/start-all-services.sh --with-sandboxes; removed by a start without it.\n"
    text += "".join(_read_settings(stack, program) for program in stack.sandbox_ports)
    file = _get_platform_file(stack)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write(text)


def _get_platform_file(stack: Stack) -> Path:
    return stack.local / "sandboxes.env"


def _read_settings(stack: Stack, program: str) -> str:
    try:
        return (get_folder(stack, program) / _SETTINGS_FILE).read_text()
    except FileNotFoundError:
        return ""


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
