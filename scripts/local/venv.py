"""Make and fill the virtual environment. Runs under any Python >= 3.11, before anything is installed.

    python3 -m scripts.local.venv requirements.txt

Installs only when the requirements changed since the last time, under a lock, because the start script and
the tests share one environment and may run at the same time.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.local import alipay_sdk, errors
from scripts.local.config import ROOT, require_space
from scripts.local.errors import StackError

FIRST_INSTALL_MB = 1200
EVERYTHING = "requirements-dev.txt"  # includes the other files
DATA = "requirements-data.txt"  # goes with EVERYTHING, without dependencies


def environment_directory() -> Path:
    return Path(os.environ.get("VENV_DIR") or ROOT / ".venv").absolute()


def ensure(requirements: str) -> None:
    directory = environment_directory()
    wanted = _fingerprint()
    if _is_filled(directory, requirements, wanted):
        return
    with _lock(directory):
        if _is_filled(directory, requirements, wanted):  # another script installed while we waited
            return
        python = directory / "bin" / "python"
        if not _works(python):
            _create(directory)
        _say(f"installing {requirements} into {directory} …")
        _install(python, "-r", requirements)
        if requirements == EVERYTHING:
            _install(python, "--no-deps", "--ignore-requires-python", "-r", DATA)
            alipay_sdk.install_parts(python, ROOT)
        _stamp(directory, requirements).write_text(wanted)


def _is_filled(directory: Path, requirements: str, wanted: str) -> bool:
    stamps = [_stamp(directory, name) for name in (requirements, EVERYTHING)]
    installed = any(stamp.exists() and stamp.read_text() == wanted for stamp in stamps)
    return installed and _works(directory / "bin" / "python")


def _stamp(directory: Path, requirements: str) -> Path:
    """Remembers which state of the requirement files was installed."""
    return directory / f".installed-{requirements}"


def _fingerprint() -> str:
    """One hash over all requirement files, since they include each other, and over what is installed in part."""
    files = sorted(
        [
            *ROOT.glob("requirements*.txt"),
            *ROOT.glob("constraints*.txt"),
            ROOT / "scripts/local/alipay_sdk.py",
        ]
    )
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _works(python: Path) -> bool:
    """False for none, for one whose base Python was removed, and for one that is too old."""
    check = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    if not python.exists():
        return False
    return subprocess.run([str(python), "-c", check], capture_output=True, check=False).returncode == 0


def _create(directory: Path) -> None:
    is_environment = (directory / "pyvenv.cfg").exists()
    if directory.exists() and any(directory.iterdir()) and not is_environment:
        raise StackError(f"{directory} exists but is no virtual environment: move it away or set VENV_DIR.")
    require_space(directory.parent, FIRST_INSTALL_MB)
    _say(f"creating {directory} with Python {sys.version.split()[0]} …")
    venv.create(directory, with_pip=True, clear=is_environment, symlinks=True)


def _install(python: Path, *what: str) -> None:
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *what,
    ]
    result = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode != 0:  # otherwise its warnings are of no interest
        raise StackError(f"pip could not install {what[-1]}:\n{result.stdout.strip()}")


@contextmanager
def _lock(directory: Path) -> Iterator[None]:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    ensure(sys.argv[1])
    return 0


if __name__ == "__main__":
    errors.run(main)
