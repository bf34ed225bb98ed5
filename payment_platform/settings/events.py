"""Events: Kafka, and webhooks to merchants."""

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.base import LOCAL_STACK, env
from payment_platform.settings.kafka_connection import read_kafka_connection

# Kafka's brokers (bootstrap servers) as `host:port`, several with commas. Empty: no Kafka; webhooks are sent in any
# case.
KAFKA_BROKERS: str = env.str("KAFKA_BROKERS", default="")
# Kafka topic of all events.
KAFKA_TOPIC: str = env.str("KAFKA_TOPIC", default="payment.events")
# How to connect to the brokers: `PLAINTEXT`, `SSL`, `SASL_SSL` or `SASL_PLAINTEXT`.
KAFKA_SECURITY_PROTOCOL: str = env.str("KAFKA_SECURITY_PROTOCOL", default="PLAINTEXT")
# With SASL: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
KAFKA_SASL_MECHANISM: str = env.str("KAFKA_SASL_MECHANISM", default="")
# With SASL: the user.
KAFKA_SASL_USERNAME: str = env.str("KAFKA_SASL_USERNAME", default="")
# With SASL: its password.
KAFKA_SASL_PASSWORD: str = env.str("KAFKA_SASL_PASSWORD", default="")
# With TLS: PEM file with the authorities that may sign the brokers' certificates. Empty: those of the operating system.
KAFKA_CA_FILE: str = env.str("KAFKA_CA_FILE", default="")
# With TLS: PEM file with our certificate, when the brokers ask for one.
KAFKA_CERTIFICATE_FILE: str = env.str("KAFKA_CERTIFICATE_FILE", default="")
# Its key, in PEM and without a passphrase.
KAFKA_KEY_FILE: str = env.str("KAFKA_KEY_FILE", default="")
# What librdkafka gets of these.
KAFKA_CONNECTION: dict[str, str] = read_kafka_connection(
    brokers=KAFKA_BROKERS,
    protocol=KAFKA_SECURITY_PROTOCOL,
    mechanism=KAFKA_SASL_MECHANISM,
    username=KAFKA_SASL_USERNAME,
    password=KAFKA_SASL_PASSWORD,
    ca_file=KAFKA_CA_FILE,
    certificate_file=KAFKA_CERTIFICATE_FILE,
    key_file=KAFKA_KEY_FILE,
)
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
