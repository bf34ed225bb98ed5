"""The server of one merchant of the demo history, which hears of its payments while the history is made.

It is on this machine, so only the local stack may call it. It is busy now and then: such a delivery is tried again,
and by then the server is gone, as servers are.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.conf import settings

from common.ids import uuid7
from merchants.principal import Principal
from webhooks import claims, delivery, endpoints, fanout
from webhooks.models import EndpointStatus, Lane, WebhookEndpoint

HEARS_OF = ("payment.succeeded", "payment.failed", "refund.succeeded", "refund.failed")
BUSY_EVERY = 12
AT_ONCE = 50


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    calls = 0


class _Answer(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls += 1
        self.send_response(503 if self.server.calls % BUSY_EVERY == 0 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_given: object) -> None:
        pass


@contextmanager
def receiver(principal: Principal) -> Iterator[None]:
    """For as long as this lasts, the merchant's server answers."""
    if not settings.WEBHOOK_ALLOW_LOOPBACK:
        yield
        return
    server = _Server(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        _endpoint(principal, f"http://127.0.0.1:{server.server_port}/payments")
        yield
    finally:
        server.shutdown()
        server.server_close()


def deliver() -> None:
    """What the relay and the worker of webhooks would do, for where none runs; beside them it is harmless."""
    if not settings.WEBHOOK_ALLOW_LOOPBACK:
        return
    while fanout.fan_out_batch():
        pass
    for lane in Lane:
        while taken := claims.claim_deliveries(lane=lane, places=AT_ONCE):
            for claim in taken:
                delivery.attempt_delivery(claim)


def _endpoint(principal: Principal, url: str) -> None:
    known = WebhookEndpoint.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment, status=EndpointStatus.ENABLED
    ).exclude(url="")
    if (endpoint := known.first()) is not None:
        endpoints.update_endpoint(principal=principal, endpoint_id=endpoint.pk, changes={"url": url})
        return
    endpoints.register_endpoint(
        principal=principal, endpoint_id=uuid7(), url=url, event_types=HEARS_OF, description="Till system"
    )
