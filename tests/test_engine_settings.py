"""The addresses of Redis, RabbitMQ and Kafka are checked at start, with an error that names the setting."""

import re
import ssl
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.exceptions import ImproperlyConfigured

from payment_platform.celery import TASK_PACKAGES
from payment_platform.schedule import beat_schedule
from payment_platform.worker_consumer import PlatformConsumer
from scripts.local.config import ROOT
from tests.support.certificates import Authority
from tests.support.read_settings import read_settings

SENTINELS = "sentinel://ops:p%40ss@one:26379,[fd00::2]:26380,three/TheMaster/3"
NODES = "amqp://platform:secret@one:5672/payments;amqp://platform:secret@two:5672/payments"


def test_one_redis_by_host_and_port() -> None:
    found = read_settings("redis", REDIS_HOST="cache.internal", REDIS_PORT="6390", REDIS_DB="2")
    assert found["CACHES"]["default"]["LOCATION"] == "redis://cache.internal:6390/2"
    broker = read_settings("celery", REDIS_HOST="cache.internal", REDIS_PORT="6390", REDIS_DB="2")
    assert broker["CELERY_BROKER_URL"] == "redis://cache.internal:6390/2"
    assert broker["BROKER_IS_REDIS"] is True


def test_sentinels() -> None:
    options = read_settings("redis", REDIS_URL=SENTINELS, REDIS_SENTINEL_PASSWORD="watch")["CACHES"][
        "default"
    ]["OPTIONS"]
    assert options["SENTINELS"] == [("one", 26379), ("fd00::2", 26380), ("three", 26379)]
    assert options["CONNECTION_POOL_KWARGS"]["service_name"] == "TheMaster"
    assert options["SENTINEL_KWARGS"]["password"] == "watch"
    broker = read_settings("celery", REDIS_URL=SENTINELS, REDIS_SENTINEL_PASSWORD="watch")
    assert broker["CELERY_BROKER_URL"] == (
        "sentinel://ops:p%40ss@one:26379/3;sentinel://ops:p%40ss@[fd00::2]:26380/3;sentinel://ops:p%40ss@three:26379/3"
    )
    transport = broker["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert (transport["master_name"], transport["sentinel_kwargs"]["password"]) == ("TheMaster", "watch")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://redis", "it begins with"),
        ("redis://", "it names no host"),
        ("redis://:hunter2@redis:port/0", "a port is no number"),
        ("redis://redis/zero", "the database is a number"),
        ("sentinel://one,two", "the name of the master"),
        ("sentinel://one,,two/mymaster/0", "is empty"),
        ("sentinel://one/mymaster/0?a=b", "no parameters"),
        ("sentinel://:hunter2@one:port/mymaster/0", "a port is no number"),
    ],
)
def test_a_wrong_redis_url(url: str, reason: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^REDIS_URL: .*{reason}") as error:
        read_settings("redis", REDIS_URL=url)
    assert "hunter2" not in str(error.value)


def test_rabbitmq_has_quorum_queues_confirms_and_no_delayed_queues() -> None:
    found = read_settings("celery", CELERY_BROKER_URL=NODES)
    assert found["BROKER_IS_REDIS"] is False
    assert found["CELERY_BROKER_URL"] == NODES
    assert {queue.name: queue.queue_arguments for queue in found["CELERY_TASK_QUEUES"]} == {
        name: {"x-queue-type": "quorum", "x-max-length": 200, "x-overflow": "drop-head"}
        for name in ("periodic", "sagas")
    }
    assert all(queue.durable for queue in found["CELERY_TASK_QUEUES"])
    assert found["CELERY_BROKER_TRANSPORT_OPTIONS"]["confirm_publish"] is True
    assert found["CELERY_TASK_PUBLISH_RETRY"] is True
    sent = {entry["options"]["confirm_timeout"] for entry in found["CELERY_BEAT_SCHEDULE"].values()}
    assert sent == {5}
    assert found["CELERY_WORKER_CONSUMER"] == f"{PlatformConsumer.__module__}:{PlatformConsumer.__qualname__}"
    steps = [str(step) for step in PlatformConsumer.Blueprint.default_steps]
    assert not [step for step in steps if "delayed" in step]
    assert "celery.worker.consumer.tasks:Tasks" in steps


def test_no_task_has_a_time() -> None:
    """`PlatformConsumer` leaves out a part of Celery that tasks with an `eta` or `countdown` need."""
    later = re.compile(r"\b(countdown|eta)\b|\.retry\(|\bautoretry_for\b|\bapply_async\b")
    sources = [ROOT / package.replace(".", "/") / "tasks.py" for package in TASK_PACKAGES]
    assert not [source for source in sources if later.search(source.read_text())]
    assert {name for task in beat_schedule(sweep_seconds=1).values() for name in task["options"]} == {
        "queue",
        "expires",
    }


def test_tls_to_rabbitmq_checks_the_name_of_the_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path).file
    found = read_settings("celery", CELERY_BROKER_URL="amqps://one", CELERY_BROKER_CA_FILE=str(authority))
    assert found["CELERY_BROKER_USE_SSL"] == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "server_hostname": None,  # the host of the address
        "ca_certs": str(authority),
    }


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"CELERY_BROKER_URL": "redis://one"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "amqp://one:port"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "amqp://one;"}, "CELERY_BROKER_URL"),
        ({"CELERY_BROKER_URL": "amqp://one;amqps://two"}, "CELERY_BROKER_URL"),
        (
            {"CELERY_BROKER_URL": "amqps://one", "CELERY_BROKER_CA_FILE": "/nowhere.pem"},
            "CELERY_BROKER_CA_FILE",
        ),
    ],
)
def test_a_wrong_rabbitmq(settings: dict[str, str], name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name}"):
        read_settings("celery", **settings)


def _kafka(**settings: str) -> dict[str, Any]:
    given = {"KAFKA_BROKERS": "one:9092,two:9092", **settings}
    connection: dict[str, Any] = read_settings("events", **given)["KAFKA_CONNECTION"]
    return connection


SASL = {
    "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "KAFKA_SASL_USERNAME": "relay",
    "KAFKA_SASL_PASSWORD": "secret",
}


def test_kafka_in_the_clear() -> None:
    assert _kafka() == {"bootstrap.servers": "one:9092,two:9092", "security.protocol": "PLAINTEXT"}
    assert _kafka(KAFKA_BROKERS="one:9092, two:9092") == _kafka()
    assert _kafka(KAFKA_BROKERS="") == {}


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_librdkafka_accepts_what_kafka_is_given(tmp_path: Path, mechanism: str) -> None:
    authority = Authority(tmp_path).file
    connection = _kafka(**SASL | {"KAFKA_SASL_MECHANISM": mechanism}, KAFKA_CA_FILE=str(authority))
    assert connection == {
        "bootstrap.servers": "one:9092,two:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": "relay",
        "sasl.password": "secret",
        "ssl.ca.location": str(authority),
    }
    Producer({**connection, "bootstrap.servers": ""})  # librdkafka refuses an unknown property or value


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"KAFKA_BROKERS": "one"}, "KAFKA_BROKERS"),
        ({"KAFKA_BROKERS": "one:9092,"}, "KAFKA_BROKERS"),
        ({"KAFKA_BROKERS": "kafka://one:9092"}, "KAFKA_BROKERS"),
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL"),
        ({**SASL, "KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM"),
        ({**SASL, "KAFKA_SASL_USERNAME": ""}, "KAFKA_SASL_USERNAME"),
        ({**SASL, "KAFKA_SASL_PASSWORD": ""}, "KAFKA_SASL_PASSWORD"),
        ({**SASL, "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_SASL_MECHANISM"),
        ({"KAFKA_CA_FILE": "/nowhere.pem"}, "KAFKA_CA_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CA_FILE": "/nowhere.pem"}, "KAFKA_CA_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_CERTIFICATE_FILE": "/a.pem"}, "KAFKA_KEY_FILE"),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_KEY_FILE": "/a.pem"}, "KAFKA_CERTIFICATE_FILE"),
        (
            {
                "KAFKA_SECURITY_PROTOCOL": "SSL",
                "KAFKA_CERTIFICATE_FILE": "/a.pem",
                "KAFKA_KEY_FILE": "/b.pem",
            },
            "KAFKA_CERTIFICATE_FILE",
        ),
    ],
)
def test_a_wrong_kafka(settings: dict[str, str], name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name}") as error:
        _kafka(**settings)
    assert "secret" not in str(error.value)


def test_a_file_without_a_certificate(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("")
    with pytest.raises(ImproperlyConfigured, match=r"^KAFKA_CA_FILE=.*not usable"):
        _kafka(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_CA_FILE=str(empty))
