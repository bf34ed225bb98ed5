"""docker-compose.yml keeps the names and ports of the quick start, and runs only commands that exist."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.bin.celery import celery
from django.core.management import get_commands

from scripts.local.config import ROOT
from tests.support.waiting import PATIENCE_SECONDS

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize(
    ("service", "port"),
    [
        ("payment-postgres", 40432),
        ("payment-redis", 40379),
        ("payment-kafka", 40092),
        ("payment-edge", 40003),
        ("prometheus", 40090),
        ("grafana", 40300),
        ("jaeger", 40686),
    ],
)
def test_documented_ports_are_published_on_loopback(service: str, port: int) -> None:
    assert [published.rpartition(":")[0] for published in SERVICES[service]["ports"]] == [f"127.0.0.1:{port}"]


def test_containers_have_the_documented_names() -> None:
    names = {service["container_name"] for service in SERVICES.values()}
    assert {"payment-postgres", "payment-redis", "payment-kafka", "payment-gateway"} <= names


def test_only_the_edge_is_public() -> None:
    assert "ports" not in SERVICES["payment-gateway"]
    (subnet,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert SERVICES["payment-gateway"]["environment"]["TRUSTED_PROXIES"] == subnet["subnet"]


def test_every_command_exists() -> None:
    for name, service in SERVICES.items():
        words = " ".join(service.get("command", [])).replace("&&", " ").split()
        for word, following in itertools.pairwise(words):
            if word == "manage.py":
                assert following in get_commands(), name
        if words[:1] == ["celery"]:
            assert set(celery.commands) & set(words), name


def test_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert Path(ROOT, source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_dependencies_are_services() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_file_follows_the_compose_specification() -> None:
    schema = ["--builtin-schema", "vendor.compose-spec"]
    checked = _module("check_jsonschema", *schema, str(ROOT / "docker-compose.yml"))
    assert checked.returncode == 0, checked.stdout


def test_dockerfile_passes_its_linter() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_image_copies_existing_files_and_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1].partition(":")[0].isdigit()
    assert users[-1].partition(":")[0] != "0"
    copied = [
        word
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_has_limits(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["logging"]["options"]["max-size"]
    assert "healthcheck" in service or name == "payment-migrate"
    if service["image"] == "payment-platform":
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert any(mount.startswith("/metrics:") for mount in service["tmpfs"])


def test_secrets_come_from_the_environment() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if any(word in variable for word in ("SECRET", "PASSWORD", "MASTER_KEYS")):
                assert value.startswith("${"), f"{name}: {variable}"


def _module(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
