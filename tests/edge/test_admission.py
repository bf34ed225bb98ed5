"""Admission decides which requests get a place, which ones wait, and which ones are refused before any work."""

import http.client
import json
import socket
import threading
import uuid
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any

import pytest
from waitress import wasyncore

from common.external_calls import release_while_waiting
from merchants import known_keys
from payment_platform.admission import Admission, RequestLane, choose_lane
from payment_platform.web_worker import listen
from tests.support.threads import in_background


@dataclass
class FakeRequest:
    """A request that works, or calls another system, until the test releases it."""

    lane: RequestLane
    calls: bool = False
    fairness_key: str = ""
    begun: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    is_refused: bool = False
    is_cancelled: bool = False

    def refuse(self) -> None:
        self.is_refused = True

    def service(self) -> None:
        if not self.is_refused:
            self._work()
        self.done.set()

    def _work(self) -> None:
        if not self.calls:
            self.begun.set()
            assert self.released.wait(60)
            return
        with release_while_waiting():
            self.begun.set()
            assert self.released.wait(60)

    def cancel(self) -> None:
        self.is_cancelled = True


def build(places: int = 8, *, threads: int = 64, length: int = 100, seconds: float = 60) -> Admission:
    return Admission(places=places, threads=threads, queue_length=length, queue_seconds=seconds)


def send(
    admission: Admission, lane: RequestLane, count: int = 1, *, calls: bool = False, fairness_key: str = ""
) -> list[FakeRequest]:
    requests = [FakeRequest(lane, calls, fairness_key) for _request in range(count)]
    for request in requests:
        admission.add_task(request)
    return requests


def finish(*groups: list[FakeRequest]) -> None:
    """Releases the requests, and waits until all have ended, in this order."""
    for request in (request for group in groups for request in group):
        request.released.set()
    for request in (request for group in groups for request in group):
        assert request.done.wait(60)


def test_hundreds_of_requests_wait_for_channels_while_others_are_served() -> None:
    admission = build(places=2, threads=304, length=300)
    waiting = send(admission, RequestLane.WRITES, 300, calls=True)
    for request in waiting:
        assert request.begun.wait(60)
    finish(send(admission, RequestLane.READS))
    finish(waiting)
    admission.shutdown()


def test_a_request_without_a_thread_takes_no_place_from_a_thread_that_returns() -> None:
    """All threads are in calls. A place must not go to a queued request, which needs one of these threads to run."""
    admission = build(places=1, threads=2)
    calling = send(admission, RequestLane.WRITES, calls=True)
    assert calling[0].begun.wait(60)
    calling += send(admission, RequestLane.WEBHOOKS, calls=True)
    assert calling[1].begun.wait(60)
    queued = send(admission, RequestLane.READS, 3)
    finish(calling, queued)
    admission.shutdown()


def test_a_flood_of_one_lane_leaves_places_to_every_other_one() -> None:
    admission = build(places=8)
    flood = send(admission, RequestLane.WRITES, 20)
    for request in flood[:4]:
        assert request.begun.wait(60)
    assert not any(request.begun.is_set() for request in flood[4:])
    for lane in (RequestLane.PROBES, RequestLane.WEBHOOKS, RequestLane.READS, RequestLane.PAGES):
        finish(send(admission, lane))
    finish(flood)
    admission.shutdown()


def test_lanes_are_served_round_robin() -> None:
    """With one place, a lane with few requests waits for at most one request of the busy lane."""
    admission = build(places=1)
    first = send(admission, RequestLane.WRITES)
    assert first[0].begun.wait(60)
    queued = send(admission, RequestLane.WRITES, 10)
    read = send(admission, RequestLane.READS)
    finish(first, queued[:1], read)
    assert sum(request.begun.is_set() for request in queued) <= 2
    finish(queued)
    admission.shutdown()


def test_merchants_of_a_lane_are_served_round_robin() -> None:
    """With one place, a merchant with one request waits for at most one request of the busy merchant."""
    admission = build(places=1)
    first = send(admission, RequestLane.WRITES, fairness_key="flood")
    assert first[0].begun.wait(60)
    flood = send(admission, RequestLane.WRITES, 10, fairness_key="flood")
    other = send(admission, RequestLane.WRITES, fairness_key="other")
    finish(first, flood[:1], other)
    assert sum(request.begun.is_set() for request in flood) <= 2
    finish(flood)
    admission.shutdown()


def test_a_flood_of_one_merchant_leaves_room_in_its_lane_to_every_other_one() -> None:
    admission = build(places=1, length=4)
    held = send(admission, RequestLane.WRITES, fairness_key="flood")
    assert held[0].begun.wait(60)
    flood = send(admission, RequestLane.WRITES, 6, fairness_key="flood")
    assert [request.is_refused for request in flood] == [False] * 4 + [True] * 2, (
        "alone it may fill the queue"
    )
    others = [request for key in "abc" for request in send(admission, RequestLane.WRITES, fairness_key=key)]
    assert not any(request.is_refused for request in others)
    assert [request.is_refused for request in flood] == [False] + [True] * 5, (
        "its newest requests are refused"
    )
    late = send(admission, RequestLane.WRITES, fairness_key="d")
    assert late[0].is_refused, "no merchant has a second queued request to evict"
    finish(held, flood, others, late)
    admission.shutdown()


def test_a_full_lane_refuses_before_any_work() -> None:
    admission = build(places=1, length=3)
    held = send(admission, RequestLane.WRITES)
    assert held[0].begun.wait(60)
    more = send(admission, RequestLane.WRITES, 5)
    for request in more[3:]:
        assert request.done.wait(60)
    assert Counter(request.is_refused for request in more) == {False: 3, True: 2}
    assert not any(request.begun.is_set() for request in more[3:])
    webhook = send(admission, RequestLane.WEBHOOKS)
    assert not webhook[0].is_refused, "the other lanes are not full"
    finish(held, more[:3], webhook)
    admission.shutdown()


def test_a_request_that_has_waited_too_long_is_refused() -> None:
    admission = build(places=1)
    held = send(admission, RequestLane.WRITES)
    assert held[0].begun.wait(60)
    late = send(admission, RequestLane.WRITES, 3)
    admission._queue_seconds = -1
    admission.check_queues()
    for request in late:
        assert request.done.wait(60)
        assert request.is_refused
    finish(held)
    admission.shutdown()


def test_a_stop_cancels_what_has_not_begun() -> None:
    admission = build(places=1)
    held = send(admission, RequestLane.WRITES)
    assert held[0].begun.wait(60)
    waiting = send(admission, RequestLane.WRITES, 2)
    admission.shutdown()
    assert all(request.is_cancelled for request in waiting)
    finish(held)


@pytest.mark.parametrize(
    ("method", "path", "lane"),
    [
        ("GET", "/healthz", RequestLane.PROBES),
        ("GET", "/metrics", RequestLane.PROBES),
        ("POST", "/api/v1/payments", RequestLane.WRITES),
        ("DELETE", "/api/v1/webhook-endpoints/1", RequestLane.WRITES),
        ("GET", "/api/v1/payments/PAY-1", RequestLane.READS),
        ("POST", "/api/v1/webhooks/stripe", RequestLane.WEBHOOKS),
        ("POST", "/api/v1/webhooks/wechat/token", RequestLane.WEBHOOKS),
        ("POST", "/api/v1/webhook-endpoints", RequestLane.WRITES),
        ("POST", "/admin/login/", RequestLane.PAGES),
        ("GET", "/pay/token", RequestLane.PAGES),
        ("", "", RequestLane.PAGES),
    ],
)
def test_lanes(method: str, path: str, lane: RequestLane) -> None:
    assert choose_lane(method, path) is lane


def test_a_refused_request_gets_an_error_of_the_api_and_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two requests on one connection, to a process that starts none."""
    merchant_id = uuid.uuid4()
    monkeypatch.setattr(known_keys, "_merchants", OrderedDict())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections: dict[int, Any] = {}
        admission = build(length=0)
        fairness_keys: list[object] = []
        add_task = admission.add_task
        monkeypatch.setattr(
            admission,
            "add_task",
            lambda request: (fairness_keys.append(request.fairness_key), add_task(request)),
        )
        known_keys.remember_key("pk_test_known", merchant_id)
        listener = listen(None, listening, connections, admission, backlog=8)
        over = threading.Event()
        loop = in_background(lambda: _loop(connections, over))
        client = http.client.HTTPConnection(*listening.getsockname(), timeout=60)
        sockets = set()
        for key in ("pk_test_known", "pk_test_made_up"):
            headers = {"Content-Type": "application/json", "X-API-Key": key}
            client.request("POST", "/api/v1/payments", b"{}", headers)
            sockets.add(client.sock)
            answer = client.getresponse()
            body = json.loads(answer.read())
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            assert body["error_code"] == "service_unavailable"
            assert body["request_id"] == answer.headers["X-Request-Id"]
        assert len(sockets) == 1
        assert fairness_keys == [merchant_id, None]
        client.close()
        over.set()
        listener.pull_trigger()
        loop.result()
        admission.shutdown()


def _loop(connections: dict[int, Any], over: threading.Event) -> None:
    while not over.is_set():
        wasyncore.loop(timeout=1, use_poll=True, map=connections, count=1)
