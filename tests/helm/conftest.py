"""Helm installs the chart once, for all tests of a process."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from scripts.local.config import ROOT
from tests.support.waiting import PATIENCE_SECONDS

SETTINGS = {
    "DB_HOST": "postgres.internal",
    "REDIS_HOST": "redis.internal",
    "PUBLIC_BASE_URL": "https://pay.example.com",
    "ALLOWED_HOSTS": "pay.example.com",
    "TRUSTED_PROXIES": "10.0.0.0/8",
}
DEFAULTS = {"settings": SETTINGS}
EVERYTHING = {
    "settings": {
        **SETTINGS,
        "KAFKA_BROKERS": "kafka.internal:9092",
        "DB_PORT": "6432",
        "TRUSTED_PROXIES": "10.0.0.0/8, 127.0.5.0/24,fd00::/8",
    },
    "image": {"tag": "1.2.3", "pullSecrets": ["registry"]},
    "autoscaling": {"enabled": True, "callsInFlight": 200},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {"example.com/kind": "public"},
        "host": "pay.example.com",
        "tlsSecretName": "certificate",
    },
    "networkPolicy": {
        "edgeFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
        "metricsFrom": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ],
        "servers": [{"ports": [{"port": 6432}], "to": [{"ipBlock": {"cidr": "10.1.0.0/24"}}]}],
        "mailPort": 587,
    },
    "evidence": {"existingClaim": "evidence"},
    "certificatesSecretName": "certificates",
    "podAnnotations": {"example.com/team": "payments"},
    "nodeSelector": {"pool": "payments"},
    "tolerations": [{"key": "payments", "operator": "Exists"}],
}
# Values that the chart refuses, and the text that its error must have.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a setting is missing": ({"settings": {**SETTINGS, "DB_HOST": ""}}, "settings.DB_HOST"),
    "without https": (
        {"settings": {**SETTINGS, "PUBLIC_BASE_URL": "http://pay.example.com"}},
        "PUBLIC_BASE_URL",
    ),
    "a demonstration": ({"settings": {**SETTINGS, "PAYMENT_DEMO": "1"}}, "PAYMENT_DEMO"),
    "no Redis": ({"settings": {**SETTINGS, "REDIS_HOST": ""}}, "settings.REDIS_HOST"),
    "a password in an address": (
        {"settings": {**SETTINGS, "CELERY_BROKER_URL": "amqp://user:password@broker"}},
        "CELERY_BROKER_URL",
    ),
    "a secret in plain text": ({"settings": {**SETTINGS, "SECRET_KEY": "x"}}, "SECRET_KEY"),
    "an address without certificate": (
        {**DEFAULTS, "ingress": {"enabled": True, "host": "a.example.com"}},
        "tls",
    ),
}


@pytest.fixture(scope="session")
def helm() -> dict[str, Any]:
    values = [DEFAULTS, EVERYTHING, *(refused for refused, _named in REFUSED.values())]
    result = subprocess.run(
        [sys.executable, "-m", "tests.helm.install", json.dumps(values)],
        cwd=ROOT,
        env={**os.environ, "HELM_DRIVER": "memory"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert result.returncode == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return printed
