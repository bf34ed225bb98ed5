"""Django's deployment checks, with the settings and the packages of production."""

import base64
import os
import secrets

from scripts.release_gate import step
from scripts.release_gate.step import GateStepFailed


def check_deployment() -> str:
    """Runs in the environment that has only what is deployed: a package that production lacks is found, too."""
    step.ensure_environment(step.DEPLOYED, "requirements.txt")
    python = step.DEPLOYED / "bin" / "python"
    checked = step.run(
        python, "manage.py", "check", "--deploy", "--fail-level", "WARNING", env=production_environment()
    )
    if checked.returncode != 0:
        raise GateStepFailed(checked.stderr.strip() or checked.stdout.strip())
    return "no warning"


def production_environment() -> dict[str, str]:
    """As docs/DEPLOYMENT.md says, with new secrets. Nothing of this machine's but where programs are."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {
        **kept,
        "LOCAL_DIR": "/nonexistent",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEYED_HASH_SECRET": secrets.token_urlsafe(48),
        "PAYMENT_MASTER_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "SIMULATOR_WEBHOOK_SECRET": secrets.token_urlsafe(48),
        "PUBLIC_BASE_URL": "https://pay.example.com",
        "ALLOWED_HOSTS": "pay.example.com",
    }
