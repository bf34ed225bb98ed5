"""Problems are reported in one line, before any process starts."""

import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.local import config, venv
from scripts.local.errors import StackError
from tests.stack.installation import Installation
from tests.support.processes import free_port

pytestmark = pytest.mark.stack


def assert_one_line(installation: Installation, *parts: str, **environment: str) -> None:
    result = installation.run("start-all-services.sh", **environment)
    assert result.returncode != 0
    assert result.stderr.startswith("ERROR ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr
    assert installation.processes() == []


@pytest.mark.parametrize("variable", ["PORT", "DB_PORT", "REDIS_PORT"])
def test_taken_port(installation: Installation, variable: str) -> None:
    with socket.create_server(("127.0.0.1", installation.ports[variable])):
        assert_one_line(installation, f"port {installation.ports[variable]}", f"{variable}=…")


def test_unreachable_database(installation: Installation) -> None:
    port = str(free_port())
    advice = "unset DB_HOST"
    assert_one_line(
        installation, f"数据库连接失败: 127.0.0.1:{port}", advice, DB_HOST="127.0.0.1", DB_PORT=port
    )


def test_unreachable_redis(installation: Installation) -> None:
    port = str(free_port())
    advice = "unset REDIS_HOST"
    assert_one_line(
        installation, f"Redis连接失败: 127.0.0.1:{port}", advice, REDIS_HOST="127.0.0.1", REDIS_PORT=port
    )


def test_invalid_port(installation: Installation) -> None:
    assert_one_line(installation, "PORT=forty", PORT="forty")


def test_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = SimpleNamespace(total=10**12, used=10**12 - 10**6, free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(StackError, match="0 MB free, 500 MB needed"):
        config.require_space(tmp_path)


def test_directory_without_a_virtual_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    monkeypatch.setenv("VENV_DIR", str(tmp_path))
    with pytest.raises(StackError, match="no virtual environment"):
        venv.ensure("requirements.txt")
    assert (tmp_path / "precious.txt").exists()


def test_no_python(installation: Installation) -> None:
    bash, readlink, dirname = (shutil.which(name) for name in ("bash", "readlink", "dirname"))
    tools = installation.directory.parent / "tools"
    tools.mkdir()
    for tool in (bash, readlink, dirname):
        (tools / Path(tool).name).symlink_to(tool)
    assert_one_line(installation, "no Python >= 3.11", PATH=str(tools))
