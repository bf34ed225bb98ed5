"""The account that the servers run as.

PostgreSQL refuses to run as root, and Redis should not. Started by root, they run as an unprivileged
account, which may be unable to reach this project (for example under /root). Then its files are in
/var/lib, and `.local` has a link to them.
"""

import os
import pwd
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local.errors import StackError

SHARED = Path("/var/lib/payment-platform")


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.getuid()

    def as_popen_arguments(self) -> dict[str, Any]:
        """Arguments of `subprocess` that run a command as this account."""
        return {} if self.is_us else {"user": self.uid, "group": self.gid, "extra_groups": []}

    def drop_privileges(self) -> None:
        """Gives up root permanently, before the caller executes a server."""
        if not self.is_us:
            os.setgroups([])
            os.setgid(self.gid)
            os.setuid(self.uid)

    def has_access(self, mode: str, path: Path) -> bool:
        """Whether the kernel lets the account read (r), write (w) or run (x) this path."""
        test = ["test", f"-{mode}", str(path)]
        return subprocess.run(test, cwd="/", check=False, **self.as_popen_arguments()).returncode == 0


def server_account() -> Account:
    """The current account. For root: `postgres` if the system has it, else `nobody`."""
    if os.getuid() != 0:
        return Account(os.getuid(), os.getgid())
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StackError(
        "PostgreSQL cannot run as root, and this system has neither a `postgres` nor a `nobody` user: "
        "create one with `useradd --system postgres`, or run this script as a plain user."
    )


def prepare_home(home: Path) -> Account:
    """Makes the directory of a server's data. Returns its owner.

    An existing directory keeps its owner, so that root can start what a plain user created.
    """
    if not home.exists():
        _make_home(home)
    status = home.stat()
    owner = Account(status.st_uid, status.st_gid)
    if os.getuid() not in (0, owner.uid):
        raise StackError(
            f"{home} belongs to another user: start as the user who started before, "
            "or set LOCAL_DIR to a directory of your own."
        )
    return owner


def _make_home(home: Path) -> None:
    account = server_account()
    if account.has_access("x", home.parent):
        home.mkdir(mode=0o700)
    else:
        home.unlink(missing_ok=True)  # a link without a target
        home.symlink_to(tempfile.mkdtemp(prefix=f"{home.name}-", dir=shared_directory()))
    os.chown(home, account.uid, account.gid)


def shared_directory() -> Path:
    """The directory that every account can reach. Only root needs it."""
    SHARED.mkdir(parents=True, exist_ok=True)
    SHARED.chmod(0o755)
    return SHARED
