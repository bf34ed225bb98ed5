"""Periodic tasks of merchants."""

from celery import shared_task

from merchants import services


@shared_task(name="merchants.flush_key_usage")
def flush_key_usage() -> int:
    """Writes when each API key was last used, from Redis to its row."""
    return services.flush_key_usage()
