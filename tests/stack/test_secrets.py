"""Every secret has a default on the local stack only, and a weak one stops the start with one line."""

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.secrets import PUBLISHED, master_keys, secret
from scripts.local.config import ROOT
from tests.support.waiting import PATIENCE_SECONDS

GOOD, GOOD_KEY = "v9-Qm2_kR7tYw3LzXc8NbHf5JsDp1GaE4uKo", "3n0bYpQGZ9n6m3q3u1yqg1V3sPAb2qXc9o1mM6nTj8E="


@pytest.mark.parametrize(
    "given",
    ["", "x", "a" * 60, "ab" * 30, "simulator-webhook-secret", "only-for-demonstration-on-one-machine"],
)
def test_weak_and_published_secrets_are_refused_on_a_deployed_host(given: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"SOME_SECRET .*secrets.token_urlsafe"):
        secret("SOME_SECRET", given, local=False, default="never used")


def test_only_the_local_stack_has_defaults() -> None:
    assert secret("SOME_SECRET", "", local=True, default="d") == "d"
    assert secret("SOME_SECRET", GOOD, local=False, default="d") == GOOD
    with pytest.raises(ImproperlyConfigured):
        secret("SOME_SECRET", "x", local=True, default="d")


@pytest.mark.parametrize("given", [[], ["not-a-fernet-key"], [GOOD_KEY, "x"]])
def test_master_keys_are_keys(given: list[str]) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"PAYMENT_MASTER_KEYS.*Make one with: python3"):
        master_keys(given, local=False)


def test_published_master_keys_are_refused_on_a_deployed_host() -> None:
    published = [key for key in PUBLISHED if key.endswith("=")]
    assert len(published) == 3
    for key in published:
        assert master_keys([key], local=True) == [key]
        with pytest.raises(ImproperlyConfigured, match="published"):
            master_keys([key], local=False)


@pytest.mark.parametrize(
    "weak", ["SECRET_KEY", "PAYMENT_MASTER_KEYS", "KEYED_HASH_SECRET", "SIMULATOR_WEBHOOK_SECRET"]
)
def test_the_gateway_does_not_start(weak: str) -> None:
    good = {"SECRET_KEY": GOOD, "PAYMENT_MASTER_KEYS": GOOD_KEY, "SIMULATOR_WEBHOOK_SECRET": GOOD}
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    started = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env={**kept, **good, weak: "weak", "LOCAL_DIR": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert started.returncode == 1
    assert started.stderr.startswith(f"ERROR {weak}")
    assert started.stderr.count("\n") == 1, started.stderr
