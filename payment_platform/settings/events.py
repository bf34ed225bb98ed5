"""Events: Kafka, and webhooks to merchants."""

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.base import LOCAL_STACK, env

# Kafka's addresses. Empty: no Kafka; webhooks are sent in any case.
KAFKA_BROKERS: str = env.str("KAFKA_BROKERS", default="")
# Kafka topic of all events.
KAFKA_TOPIC: str = env.str("KAFKA_TOPIC", default="payment.events")
# Time limit of one call to a merchant's endpoint, from connecting to the end of the answer.
WEBHOOK_TIMEOUT_SECONDS: float = env.float("WEBHOOK_TIMEOUT_SECONDS", default=15.0)
if not 0 < WEBHOOK_TIMEOUT_SECONDS <= 30:
    raise ImproperlyConfigured(
        "WEBHOOK_TIMEOUT_SECONDS must be above 0 and at most 30: a delivery's lease is a minute."
    )
# Calls to merchants' endpoints at a time, in one webhook worker.
WEBHOOK_THREADS: int = env.int("WEBHOOK_THREADS", default=64)
# Ports that a merchant's endpoint may have.
WEBHOOK_PORTS: frozenset[int] = frozenset(env.list("WEBHOOK_PORTS", cast=int, default=[80, 443, 8080, 8443]))
# Allows endpoints on this machine, for trying out. Never where strangers can register endpoints.
WEBHOOK_ALLOW_LOOPBACK: bool = env.bool("WEBHOOK_ALLOW_LOOPBACK", default=LOCAL_STACK)
