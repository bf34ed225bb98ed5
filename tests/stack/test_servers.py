"""The embedded servers run as an account that may be unable to reach the project."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import account, postgres, wheels
from scripts.local.errors import StackError
from tests.stack.installation import listens
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.stack
only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root runs servers as another account")


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the test for the files that root's servers keep outside of the project."""
    directory = Path("/var/tmp") / f"payment-tests-{tmp_path_factory.getbasetemp().name}"
    monkeypatch.setattr(account, "SHARED", directory)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@only_root
def test_cluster_in_a_directory_the_account_cannot_reach(tmp_path: Path, shared: Path) -> None:
    tmp_path.chmod(0o700)
    cluster = postgres.Cluster(tmp_path / "postgres", port=1)
    owner = cluster.create()
    assert owner.uid != 0
    assert cluster.home.resolve().is_relative_to(shared)
    assert (cluster.data / "PG_VERSION").read_text() == "18\n"
    assert cluster.create() == owner, "a second start uses the existing cluster"


@only_root
def test_binaries_the_account_cannot_reach_are_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shared: Path
) -> None:
    tmp_path.chmod(0o700)
    packages = tmp_path / "site-packages"
    for tree in wheels.TREES:
        shutil.copytree(wheels.PACKAGES / tree, packages / tree)
    monkeypatch.setattr(wheels, "PACKAGES", packages)
    server = account.server_account()
    for binary in (wheels.postgres_binary("initdb", server), wheels.redis_binary("redis-server", server)):
        assert binary.is_relative_to(shared)
        version = subprocess.run(
            [binary, "--version"], cwd="/", capture_output=True, **server.as_popen_arguments()
        )
        assert version.returncode == 0, version.stderr


def test_an_interrupted_creation_starts_again(tmp_path: Path, shared: Path) -> None:
    cluster = postgres.Cluster(tmp_path / "postgres", port=1)
    account.prepare_home(cluster.home)
    unfinished = cluster.data.with_name("data.new")
    unfinished.mkdir()
    (unfinished / "half").touch()
    cluster.create()
    assert not (cluster.data / "half").exists()
    assert (cluster.data / "PG_VERSION").exists()


@only_root
def test_data_of_another_user_is_refused(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.prepare_home(tmp_path / "postgres")
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(StackError, match="belongs to another user"):
        account.prepare_home(tmp_path / "postgres")


def test_test_servers_end_with_their_command() -> None:
    """The command fails on purpose, and its exit code is returned."""
    command = "echo $DB_PORT $REDIS_PORT $PROMETHEUS_MULTIPROC_DIR; exit 7"
    result = subprocess.run(
        [sys.executable, "-m", "scripts.local.testing", "sh", "-c", command], capture_output=True, text=True
    )
    assert result.returncode == 7, result.stderr
    database, redis, metrics = result.stdout.split()
    assert not listens(int(database))
    assert not listens(int(redis))
    assert not Path(metrics).parent.exists()


def test_a_cancelled_test_run_leaves_no_process() -> None:
    command = "echo $DB_PORT $REDIS_PORT; exec sleep 600"
    run = subprocess.Popen(
        [sys.executable, "-m", "scripts.local.testing", "sh", "-c", command],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    ports = [int(port) for port in run.stdout.readline().split()]
    run.terminate()
    assert run.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    assert not any(listens(port) for port in ports)
