"""The periodic tasks that Celery beat sends, and how often."""

from typing import Any

# Bounds the queue while no worker runs. Beat's clock writes the time, the worker's clock compares it, and each may be
# an hour off, so a shorter time could drop every message.
EXPIRES_SECONDS = 3 * 3600


def beat_schedule(*, sweep_seconds: float) -> dict[str, dict[str, Any]]:
    seconds_between = {
        "sagas.sweep": sweep_seconds,
        "simulator.deliver_notifications": 1.0,
        "gateway.find_unreported_refunds": 3600.0,
        "gateway.store_success_rates": 10.0,
        "merchants.flush_key_usage": 60.0,
        "webhooks.cancel_leftovers": 60.0,
        "webhooks.send_notices": 60.0,
        "ledger.roll_up": 10.0,
        "ledger.close_days": 3600.0,
        "fees.close_statements": 3600.0,
        "settlements.fetch_statements": 3600.0,
        "settlements.settle_statements": 30.0,
        "payouts.create_scheduled_runs": 600.0,
        "monitoring.check_consistency": 3600.0,
        "backoffice.add_up_hours": 60.0,
        "monitoring.prune": 300.0,
        "backoffice.write_exports": 5.0,
        "backoffice.prune_exports": 600.0,
        "backoffice.write_reports": 60.0,
        "backoffice.expire_approvals": 300.0,
        "monitoring.prune_sessions": 3600.0,
    }
    # A worker reads both queues alternately: sweeps of a backlog never delay the other tasks for long.
    queues = {"sagas.sweep": "sagas"}
    return {
        task: {
            "task": task,
            "schedule": seconds,
            "options": {"queue": queues.get(task, "periodic"), "expires": EXPIRES_SECONDS},
        }
        for task, seconds in seconds_between.items()
    }
