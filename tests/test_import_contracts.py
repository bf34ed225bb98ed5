"""Every app has a layer in the import contracts, so that no import escapes them."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from importlinter.cli import EXIT_STATUS_ERROR

from scripts.local.config import ROOT

CONFIGURATION: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS: dict[str, dict[str, Any]] = {contract["name"]: contract for contract in CONFIGURATION["contracts"]}
NO_APPS = {"benchmarks", "scripts", "tests"}


def folders_with_python() -> set[str]:
    return {path.parent.name for path in ROOT.glob("[a-z]*/__init__.py")} - NO_APPS


def layers_of(name: str) -> set[str]:
    return {app.strip() for layer in CONTRACTS[name]["layers"] for app in layer.split("|")}


def test_every_app_is_linted_and_has_a_layer() -> None:
    apps = folders_with_python()
    assert set(CONFIGURATION["root_packages"]) == apps
    assert layers_of("Imports between apps run one way") == apps
    assert set(CONTRACTS["No cycles inside an app"]["ancestors"]) == apps
    (inside,) = (contract for name, contract in CONTRACTS.items() if name.startswith("Inside an app:"))
    assert set(inside["containers"]) == apps


def test_a_new_app_without_a_layer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for app in folders_with_python() | {"insurance"}:
        (tmp_path / app).mkdir()
        (tmp_path / app / "__init__.py").touch()
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="insurance"):
        test_every_app_is_linted_and_has_a_layer()


def test_a_new_module_of_the_gateway_without_a_layer_is_refused(tmp_path: Path) -> None:
    """The test applies a copy of the gateway's contract to an app of its own, because the lint imports by name. It runs
    in a process of its own, because the lint switches off all loggers of its process."""
    app = tmp_path / "gateway_copy"
    app.mkdir()
    for module in ("__init__", "models", "surprises"):
        (app / f"{module}.py").touch()
    configuration = tmp_path / "lint.toml"
    configuration.write_text(
        '[tool.importlinter]\nroot_packages = ["gateway_copy"]\n'
        "[[tool.importlinter.contracts]]\n"
        'name = "layers"\ntype = "layers"\nexhaustive = true\n'
        'containers = ["gateway_copy"]\nlayers = ["(services)", "(models)"]\n'
    )
    lint = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports('lint.toml', no_cache=True))"
    refused = subprocess.run([sys.executable, "-c", lint], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == EXIT_STATUS_ERROR, refused.stderr
    assert "surprises" in refused.stdout
    (contract,) = (contract for name, contract in CONTRACTS.items() if name.startswith("Inside the gateway:"))
    assert contract["exhaustive"] is True
