"""docker-compose.yml keeps the names and ports of the quick start, and runs only commands that exist."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.bin.celery import celery
from django.core.management import get_commands

from scripts.local.config import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize(
    ("service", "port"),
    [
        ("payment-postgres", 40432),
        ("payment-redis", 40379),
        ("payment-kafka", 40092),
        ("payment-gateway", 40003),
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
