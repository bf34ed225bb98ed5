"""The kind of installation, and its name and address. Every other settings file builds on this one."""

from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.Env()
# Folder of the local stack's data. Its secrets are read from there, so that `manage.py` in a terminal uses the
# local stack's installation. The environment wins over the file.
LOCAL_SECRETS = Path(env.str("LOCAL_DIR", default=str(BASE_DIR / ".local"))) / "secrets.env"
if LOCAL_SECRETS.exists():
    env.read_env(LOCAL_SECRETS)
# The accounts at the sandboxes, when the local stack was started with them.
LOCAL_SANDBOXES = LOCAL_SECRETS.with_name("sandboxes.env")
if LOCAL_SANDBOXES.exists():
    env.read_env(LOCAL_SANDBOXES)

# Django's debug pages. Only on a developer's own machine.
DEBUG: bool = env.bool("DEBUG", default=False)
# The local stack: loopback callbacks allowed, demo data allowed. Never set it where real money moves.
LOCAL_STACK: bool = env.bool("LOCAL_STACK", default=DEBUG)
# Enables the demo merchant's well-known key and signature. Refused outside the local stack.
PAYMENT_DEMO: bool = env.bool("PAYMENT_DEMO", default=False)
# Lets tests kill a process at a named commit boundary (common/crash.py).
CRASH_POINTS: bool = env.bool("CRASH_POINTS", default=False)

# The name of this process in traces, logs and PostgreSQL's sessions.
SERVICE_NAME: str = env.str("SERVICE_NAME", default="payment-gateway")
# The port on which the gateway listens.
PORT: int = env.int("PORT", default=40003)
# The gateway's address as customers and channels see it. With https, cookies are sent over https only.
PUBLIC_BASE_URL: str = env.str("PUBLIC_BASE_URL", default=f"http://localhost:{PORT}").rstrip("/")
