"""gunicorn's configuration. `manage.py serve` starts it."""

import os
import threading
from pathlib import Path

import structlog
from django.conf import settings
from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from channels.stripe import setup

log = structlog.get_logger("payment_platform.boot")

# The address to listen on. The local stack has a well-known API key and stays on this machine.
HOST = os.environ.get("WEB_HOST") or ("127.0.0.1" if settings.LOCAL_STACK else "0.0.0.0")  # noqa: S104
# Web, worker, beat and relay processes write their metrics here, and /metrics adds them up.
METRICS_DIRECTORY = Path(settings.BASE_DIR, ".local", "prometheus")

bind = f"[{HOST}]:{settings.PORT}" if ":" in HOST else f"{HOST}:{settings.PORT}"
worker_class = "payment_platform.web_worker.BufferingWorker"
# Gateway processes.
workers = int(os.environ.get("WEB_WORKERS", "2"))
# Requests that one process works on at a time. Those that wait for a channel are not counted.
threads = int(os.environ.get("WEB_THREADS", "8"))
# Loads the application before the port is opened: a gateway that cannot start never listens.
preload_app = True
# A payment may wait for its channel (10 s) and its database (15 s). A worker without a heartbeat for longer is stuck.
timeout = 60
graceful_timeout = 30
loglevel = "warning"
# Heartbeats go to a file in memory, so that a slow disk does not look like a stuck worker.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
# The default path of its socket is shared by all gunicorns of a user.
control_socket_disable = True


# gunicorn's log lines use the handlers that Django sets up.
logconfig_dict = {
    "loggers": {
        "gunicorn.error": {"handlers": [], "propagate": True},
    }
}


def print_info(text: str) -> None:
    """Prints a line of the boot log: as in the quick start, or as a JSON object like every other log line."""
    if settings.LOG_FORMAT == "json":
        log.info(text)
    else:
        print(f"INFO  {text}", flush=True)  # noqa: T201


def print_warning(text: str) -> None:
    if settings.LOG_FORMAT == "json":
        log.warning(text)
    else:
        print(f"WARN  {text}", flush=True)  # noqa: T201


def post_worker_init(worker: Worker) -> None:
    """Checks Stripe's setup once, in a thread: it delays no request and stops nothing."""
    if worker.age == 1:
        threading.Thread(target=setup.log_setup_problems, name="stripe-setup", daemon=True).start()


def when_ready(_server: Arbiter) -> None:
    print_info(f"Payment Gateway 启动成功，监听端口: {settings.PORT}")
