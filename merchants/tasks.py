from celery import shared_task

from merchants import services


@shared_task(name="merchants.flush_key_usage")
def flush_key_usage() -> int:
    return services.flush_key_usage()
