"""A threshold has one source. Where a rule or a document repeats it, these tests compare both."""

import re
from collections.abc import Iterator

import pytest
from django.conf import settings

from common.postgresql.partitions import PERIOD
from idempotency import retention as idempotency_retention
from monitoring import retention
from payment_platform.schedule import beat_schedule
from sagas.thresholds import STUCK_AFTER_SECONDS
from scripts.configuration import variables
from scripts.local.config import ROOT
from tests.observability.test_rules import ALERTS

DOCUMENTS = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "CONFIGURATION.md")
OPERATIONS = (ROOT / "docs" / "OPERATIONS.md").read_text()
DEFAULTS = {variable.name: variable.default.strip("`").replace("_", "") for variable in variables()}


def threshold(alert: str) -> float:
    """The number that the alert's expression is compared with."""
    found = re.search(r"[<>] ([\d.]+)\s*$", ALERTS[alert]["expr"])
    assert found is not None, ALERTS[alert]["expr"]
    return float(found[1])


def defaults_in(text: str) -> Iterator[tuple[str, str]]:
    """Finds the defaults of settings in a document: `NAME` (12), and rows of tables such as | `NAME` | 10 s |."""
    yield from re.findall(r"`([A-Z_]{4,})` \(([\d.,]+)[);]", text)
    yield from re.findall(r"^\|.*\| `([A-Z_]{4,})` \| ([\d.,]+)(?: s)? \|$", text, re.MULTILINE)


def test_documents_repeat_the_defaults_of_settings() -> None:
    repeated = [(path.name, *found) for path in DOCUMENTS for found in defaults_in(path.read_text())]
    assert len(repeated) >= 8
    wrong = [
        (document, name, value)
        for document, name, value in repeated
        if DEFAULTS.get(name, "").replace(".", "", 1).isdecimal()  # not one that depends on the installation
        and float(DEFAULTS[name]) != float(value.replace(",", ""))
    ]
    assert not wrong


def test_a_full_queue_raises_an_alert() -> None:
    """Beat and the wake-up hints never fill a queue beyond its limit, so the alert must fire well below the limit."""
    assert settings.TASK_QUEUE_LIMIT / 2 <= threshold("QueueGrows") <= 0.8 * settings.TASK_QUEUE_LIMIT
    assert f"Over {threshold('QueueGrows'):.0f} periodic tasks" in OPERATIONS
    assert f"queue of {settings.TASK_QUEUE_LIMIT} tasks" in re.sub(r"\s+", " ", OPERATIONS)


def test_stuck_sagas_raise_an_alert() -> None:
    assert threshold("SagasWait") == threshold("TestSagasWait") == STUCK_AFTER_SECONDS == 60
    assert "for a worker of their queue: they are stuck" in OPERATIONS


def test_a_slow_channel_raises_an_alert_before_calls_time_out() -> None:
    timeout = float(DEFAULTS["CHANNEL_TIMEOUT_SECONDS"])
    assert threshold("ChannelSlow") < timeout
    assert (
        f"Calls take over {threshold('ChannelSlow'):.0f} s of the {timeout:.0f} s that are allowed"
        in OPERATIONS
    )


def test_missing_integrity_checks_raise_an_alert_after_three_runs() -> None:
    interval = beat_schedule(sweep_seconds=2)["monitoring.check_consistency"]["schedule"]
    assert "> 3 * 3600" in ALERTS["IntegrityChecksStopped"]["expr"]
    assert interval == 3600
    assert "have not run for three hours" in OPERATIONS


@pytest.mark.parametrize(
    ("alert", "text"),
    [
        ("SagasWait", "Due sagas wait over a minute"),
        ("TestSagasWait", "waited over a minute"),
        ("PollsLate", "over ten minutes late"),
        ("OutboxBehind", "Events wait over a minute in the outbox"),
        ("WebhooksBehind", "wait over five minutes"),
        ("PaymentsSlow", "One `POST /payments` in a hundred takes over 5 s"),
    ],
)
def test_the_text_of_an_alert_has_its_threshold(alert: str, text: str) -> None:
    section = OPERATIONS.partition(f"### {alert}\n")[2].partition("\n#")[0]
    assert text in section.replace("\n", " ")
    number = {"a minute": 60, "five minutes": 300, "ten minutes": 600, "5 s": 5}
    (seconds,) = {value for words, value in number.items() if f"over {words}" in text}
    assert threshold(alert) == seconds


def test_the_backup_chapter_has_the_retentions() -> None:
    text = re.sub(r"\s+", " ", (ROOT / "docs" / "DEPLOYMENT.md").read_text())
    assert retention.SAGA_RETENTION == retention.EVENT_RETENTION
    assert retention.CHANNEL_EVENT_RETENTION == retention.CONSISTENCY_RETENTION
    assert f"sent events are kept for {retention.EVENT_RETENTION.days} days" in text
    days = retention.SAGA_RETENTION.days
    # A week of sagas is dropped when all its sagas are past their retention.
    assert f"events {days} days, sagas and webhook deliveries {days} to {days + PERIOD.days} days" in text
    assert f"channel webhooks and integrity runs {retention.CONSISTENCY_RETENTION.days} days" in text
    assert f"idempotency keys {idempotency_retention.RETENTION.days} days" in text
