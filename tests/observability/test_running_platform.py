"""Metrics, dashboards, traces and logs of the platform, started as docker-compose.yml does."""

import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local.config import ROOT
from tests.observability.containers import LONG_RUNNING, Containers, containers
from tests.observability.receiver import SeenSpan
from tests.observability.scraper import Scraper, scraper
from tests.stack.test_serve import BOOT
from tests.support import receiver as webhooks
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.stack

SERVER, CLIENT = 2, 3  # OTLP's numbers for kinds of spans
ALERTS = ROOT / "deploy" / "prometheus" / "rules" / "alerts.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with containers(tmp_path_factory.mktemp("containers")) as running:
        yield running


@pytest.fixture(scope="module")
def shop(platform: Containers) -> HttpShop:
    return HttpShop(platform.url, **_new_merchant(platform))


@pytest.fixture(scope="module")
def endpoint(shop: HttpShop) -> Iterator[webhooks.Receiver]:
    """The merchant's endpoint refuses the first delivery and accepts the second one."""
    with webhooks.Receiver() as running:
        running.respond = lambda _webhook: webhooks.WebhookResponse(
            500 if len(running.received) == 1 else 200
        )
        address = {"url": running.url("/hook/address-with-a-token")}
        assert shop.send(Write("/api/v1/webhook-endpoints", address)).status == 200
        yield running


@pytest.fixture(scope="module")
def paid(platform: Containers, shop: HttpShop, endpoint: webhooks.Receiver) -> dict[str, Any]:
    """A payment whose first call got no answer. A worker queried the channel, the customer paid, and the channel's
    webhook reported it."""
    write = payment("timeout_after", subject="Coffee with a secret filling")
    reply = shop.send(write)
    assert reply.status == 202, str(reply)
    number = reply.data["payment_no"]
    opened = wait_until(lambda: _shown(shop, number, "payment_url"), PATIENCE_SECONDS, "the worker's retry")
    _pay(opened["payment_url"])
    finished = wait_until(
        lambda: (found := _shown(shop, number, "status")) and found["status"] == "succeeded" and found,
        PATIENCE_SECONDS,
        "the webhook",
    )
    return {**finished, "payment_url": opened["payment_url"]}


@pytest.fixture(scope="module")
def prometheus(platform: Containers, shop: HttpShop, paid: dict[str, Any]) -> Iterator[Scraper]:
    """Scrapes a platform on which every counted event has happened."""
    refund = Write("/api/v1/refunds", {"payment_no": paid["payment_no"], "amount": 1, "reason": "a test"})
    assert shop.send(refund).status == 200
    assert HttpShop(platform.url, "nobody", "nothing").get("/api/v1/payments").status == 401
    again = payment()
    assert shop.send(again).data == shop.send(again).data
    checked = _manage(platform, "check_consistency")
    assert checked.returncode == 0, checked.stdout
    with scraper(platform) as running:
        yield running


def test_one_trace_follows_the_payment(platform: Containers, paid: dict[str, Any]) -> None:
    number = paid["payment_no"]

    def whole() -> list[SeenSpan]:
        found = platform.collector.trace_of(number)
        # Processes send their spans at different times.
        counts = [len(_only(found, name)) for name in ("payment.create resumed", "payment channel update")]
        ways_out = [len(_only(found, name)) for name in ("outbox publish", "webhook out")]
        return found if all(counts) and ways_out == [2, 3] else []

    spans = wait_until(whole, PATIENCE_SECONDS, "all spans of the payment")
    request = _one(spans, "POST /api/v1/payments")
    assert (request.service, request.kind, request.parent_id) == ("payment-gateway", SERVER, "")
    assert request.attributes["http.response.status_code"] == 202

    placed = _one(spans, "payment.create CreateOrder")
    lost, found = _only(spans, "payment.create CallPaymentChannel")
    assert (placed.parent_id, lost.parent_id) == (request.span_id, request.span_id)
    assert (lost.service, lost.attributes["saga.outcome"]) == ("payment-gateway", "unknown")
    call = _one(spans, "simulator create_payment")
    assert (call.parent_id, call.kind, call.attributes["channel.outcome"]) == (
        lost.span_id,
        CLIENT,
        "unknown",
    )

    retry = _one(spans, "payment.create resumed")
    assert (retry.service, retry.parent_id) == ("payment-sagas-test", request.span_id)
    assert retry.attributes["saga.status"] == "completed"
    assert (found.parent_id, found.attributes["saga.outcome"]) == (retry.span_id, "success")
    assert found.attributes["saga.attempt"] == 2
    assert _one(spans, "simulator find_payment").parent_id == found.span_id
    assert _one(spans, "payment.create ActivatePayment").parent_id == retry.span_id

    update = _one(spans, "payment channel update")
    assert (update.service, update.parent_id, update.attributes["outcome"]) == (
        "payment-gateway",
        request.span_id,
        "applied",
    )
    ((_trace, webhook_id),) = update.links
    (webhook,) = (span for span in platform.collector.spans if span.span_id == webhook_id)
    assert webhook.name == "POST /api/v1/webhooks/<channel>"

    left = {span.attributes["event.type"]: span for span in _only(spans, "outbox publish")}
    assert {span.service for span in left.values()} == {"payment-relay"}
    assert left["payment.created"].parent_id == placed.span_id
    assert left["payment.succeeded"].parent_id == update.span_id
    messages = [message for message in platform.kafka.everything() if message.key == number]
    assert {message.headers["ce_type"] for message in messages} == set(left)
    for message in messages:
        _version, trace_id, parent_id, _flags = message.headers["traceparent"].split("-")
        assert (trace_id, parent_id) == (request.trace_id, left[message.headers["ce_type"]].parent_id)

    deliveries = _only(spans, "webhook out")
    assert {(span.service, span.kind) for span in deliveries} == {("payment-webhooks", CLIENT)}
    assert {span.attributes["event.id"] for span in deliveries} == {one.headers["ce_id"] for one in messages}
    for span in deliveries:
        assert span.parent_id == left[span.attributes["event.type"]].parent_id
    assert sorted(span.attributes["webhook.outcome"] for span in deliveries) == [
        "rejected",
        "success",
        "success",
    ]
    (refused,) = (span for span in deliveries if span.attributes["webhook.outcome"] == "rejected")
    (again,) = (span for span in deliveries if span.attributes["webhook.attempt"] == 2)
    assert refused.attributes["http.response.status_code"] == 500
    assert again.attributes["event.id"] == refused.attributes["event.id"]
    for span in spans:
        if span.name != "outbox publish" and span.kind != CLIENT and span is not request:
            assert span.attributes["payment_no"] == number, span
            assert span.attributes["saga_id"] == retry.attributes["saga_id"], span


def test_a_caller_does_not_join_our_trace(platform: Containers, shop: HttpShop) -> None:
    theirs = "4bf92f3577b34da6a3ce929d0e0e4736"
    request = urllib.request.Request(
        f"{platform.url}/api/docs", headers={"traceparent": f"00-{theirs}-00f067aa0ba902b7-01"}
    )
    urllib.request.urlopen(request, timeout=PATIENCE_SECONDS).close()
    span = wait_until(lambda: _only(platform.collector.spans, "GET /api/docs"), PATIENCE_SECONDS, "the span")[
        0
    ]
    assert span.trace_id != theirs
    assert span.parent_id == ""
    assert span.links == [(theirs, "00f067aa0ba902b7")]


def test_spans_hold_no_secrets_and_no_bodies(
    platform: Containers, shop: HttpShop, paid: dict[str, Any]
) -> None:
    wait_until(
        lambda: _only(platform.collector.spans, "POST /checkout/<token>"),
        PATIENCE_SECONDS,
        "the checkout's span",
    )
    token = urllib.parse.urlsplit(paid["payment_url"]).path.rpartition("/")[2]
    webhook = ("whsec_", "address-with-a-token", "simulator-webhook-secret")
    for secret in (shop._signer.key, shop._signer.secret, token, "Coffee", *webhook):
        assert secret.encode() not in platform.collector.bytes
    assert not any(span.events for span in platform.collector.spans)


def test_logs_are_objects_that_name_request_trace_and_payment(
    platform: Containers, shop: HttpShop, paid: dict[str, Any]
) -> None:
    number = paid["payment_no"]
    for service in LONG_RUNNING:
        assert platform.objects(service) or service == "payment-beat", service
    (line,) = wait_until(
        lambda: [
            line
            for line in platform.objects("payment-sagas-test")
            if line["event"] == "saga.finished" and line.get("payment_no") == number
        ],
        PATIENCE_SECONDS,
        "the saga's end in the log",
    )
    request, resumed = _arrived(platform, number, "POST /api/v1/payments", "payment.create resumed")
    assert line["trace_id"] == resumed.trace_id
    assert line["begun_by_request_id"] == request.attributes["request_id"]
    left = [line for line in platform.objects("payment-relay") if line.get("payment_no") == number]
    assert {"payment.created", "payment.succeeded"} <= {line["type"] for line in left}
    assert {line["trace_id"] for line in left if line["type"].startswith("payment.")} == {request.trace_id}
    boot = [line["event"] for line in platform.objects("payment-gateway")][: len(BOOT)]
    assert boot == [text.format(port=platform.port).removeprefix("INFO  ") for text in BOOT]
    everything = "\n".join(line for service in LONG_RUNNING for line in platform.lines(service))
    assert shop._signer.secret not in everything


def test_prometheus_scrapes_every_process(prometheus: Scraper) -> None:
    wait_until(lambda: prometheus.value("sum(up)") == len(LONG_RUNNING), PATIENCE_SECONDS, "every target")
    jobs = {series["metric"]["job"] for series in prometheus.get("query", query="up == 1")["result"]}
    assert jobs == set(LONG_RUNNING)
    for expression in (
        'sum(http_requests_total{job="payment-gateway", route="/api/v1/payments", method="POST", status="202"})',
        'sum(payments_total{outcome="created", channel="simulator", currency="USD", environment="test"})',
        'sum(payments_total{outcome="succeeded", channel="simulator", currency="USD", environment="test"})',
        'sum(channel_call_duration_seconds_count{job="payment-gateway", outcome="unknown"})',
        'sum(channel_call_duration_seconds_count{job="payment-sagas-test", outcome="answered"})',
        'sum(saga_completed_total{job="payment-sagas-test", definition="payment.create"})',
        'sum(celery_task_duration_seconds_count{job="payment-worker", task="backoffice.add_up_hours", '
        'outcome="success"})',
        'sum(worker_places{job="payment-sagas-live", worker="sagas-live"})',
        'sum(worker_places{job="payment-poller", worker="polls-test-simulator"})',
        'sum(django_http_requests_before_middlewares_total{job="payment-gateway"})',
        'sum(django_http_requests_latency_including_middlewares_seconds_count{job="payment-gateway"})',
        "max(relay_leaders)",
        "max(database_up)",
        "max(redis_up)",
        'sum(outbox_published_total{job="payment-relay", type="payment.succeeded"})',
        'sum(webhook_deliveries_total{job="payment-webhooks", outcome="rejected"})',
        'sum(webhook_deliveries_total{job="payment-webhooks", outcome="success"})',
    ):
        wait_until(lambda: (prometheus.value(expression) or 0) >= 1, PATIENCE_SECONDS, expression)  # noqa: B023 - at once
    assert prometheus.value("max(database_connections)") > 0
    wait_until(lambda: prometheus.value("max(outbox_depth)") == 0, PATIENCE_SECONDS, "the outbox to be empty")


def test_a_healthy_platform_raises_no_alert(prometheus: Scraper) -> None:
    def rules() -> list[dict[str, Any]]:
        found = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        return found if all(rule["health"] != "unknown" for rule in found) else []

    found = wait_until(rules, PATIENCE_SECONDS, "the rules to be evaluated")
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}
    firing = {rule["name"] for rule in found if rule.get("state") == "firing"}
    assert firing == set()


@pytest.mark.parametrize("dashboard", [*DASHBOARDS, ALERTS], ids=lambda path: path.stem)
def test_every_expression_of_a_dashboard_finds_series(prometheus: Scraper, dashboard: Path) -> None:
    for expression in _expressions(dashboard):
        prometheus.get("query", query=expression)  # a 400 when it does not parse
        _require_known(prometheus, expression)


def test_every_recording_rule_finds_series(prometheus: Scraper) -> None:
    for expression in RECORDED.values():
        _require_known(prometheus, expression)


@pytest.mark.parametrize("service", ["payment-gateway", "payment-worker"])
def test_metrics_pass_promtools_lint(platform: Containers, paid: dict[str, Any], service: str) -> None:
    ports = {"payment-gateway": platform.port, **platform.metrics_ports}
    with urllib.request.urlopen(
        f"http://127.0.0.1:{ports[service]}/metrics", timeout=PATIENCE_SECONDS
    ) as answer:
        text = answer.read().decode()
    lint = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert (lint.returncode, lint.stderr) == (0, "")
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series)), "no series is exported twice"
    assert len(series) < 3_000
    assert paid["payment_no"] not in text


def _new_merchant(platform: Containers) -> dict[str, str]:
    made = _python(platform, "-m", "tests.support.prepare_platform")
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout.splitlines()[-1])
    return found


def _manage(platform: Containers, command: str) -> subprocess.CompletedProcess[str]:
    return _python(platform, "manage.py", command)


def _python(platform: Containers, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with the environment of the gateway's container."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={
            **platform.environment("payment-gateway"),
            "DJANGO_SETTINGS_MODULE": "payment_platform.settings",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )


def _shown(shop: HttpShop, payment_no: str, field: str) -> dict[str, Any] | None:
    data = shop.get(f"/api/v1/payments/{payment_no}").data
    return data if data[field] else None


def _pay(payment_url: str) -> None:
    """Pays as a browser does: loads the page and submits its form."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(payment_url, timeout=PATIENCE_SECONDS) as page:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.read().decode())
    fields = {"action": "pay", **({"csrfmiddlewaretoken": token.group(1)} if token else {})}
    browser.open(payment_url, urllib.parse.urlencode(fields).encode(), timeout=PATIENCE_SECONDS).close()


def _only(spans: list[SeenSpan], name: str) -> list[SeenSpan]:
    return sorted(
        (span for span in spans if span.name == name), key=lambda span: span.attributes.get("saga.attempt", 0)
    )


def _one(spans: list[SeenSpan], name: str) -> SeenSpan:
    (span,) = _only(spans, name)
    return span


def _arrived(platform: Containers, payment_no: str, *names: str) -> list[SeenSpan]:
    """Waits until the span of each name has arrived, and returns them: each process sends its spans separately."""

    def all_of_them() -> list[SeenSpan]:
        found = platform.collector.trace_of(payment_no)
        return found if all(_only(found, name) for name in names) else []

    found = wait_until(all_of_them, PATIENCE_SECONDS, f"the spans {names}")
    return [_one(found, name) for name in names]


def _require_known(prometheus: Scraper, expression: str) -> None:
    """Waits until Prometheus has scraped every metric of the expression."""
    for name in sorted(_metrics_in(expression) - RECORDED.keys()):
        wait_until(lambda: name in prometheus.names(), PATIENCE_SECONDS, f"{name} of {expression}")  # noqa: B023 - at once


def _recorded() -> dict[str, str]:
    rules = yaml.safe_load((ALERTS.parent / "recording.yml").read_text())
    return {rule["record"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


RECORDED = _recorded()
_NOT_METRICS = {
    "by",
    "on",
    "or",
    "and",
    "unless",
    "ignoring",
    "without",
    "group_left",
    "group_right",
    "offset",
    "bool",
}


def _expressions(file: Path) -> list[str]:
    if file.suffix == ".json":
        panels = json.loads(file.read_text())["panels"]
        return [target["expr"] for panel in panels for target in panel["targets"]]
    return [rule["expr"] for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]


def _metrics_in(expression: str) -> set[str]:
    """Returns the names that remain after matchers, ranges, label lists and functions are removed."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)", " ", expression)
    return set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - _NOT_METRICS
