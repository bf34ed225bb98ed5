"""The webhook endpoint of one merchant of the demo history. It answers while the history is made.

It listens on this machine, so that only the local stack may call it. Each twelfth call gets a 503: that delivery is
retried, and fails when the server has stopped.
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

EVENT_TYPES = ("payment.succeeded", "payment.failed", "refund.succeeded", "refund.failed")
CALLS_PER_FAILURE = 12
BATCH = 50


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    calls = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.calls += 1
        self.send_response(503 if self.server.calls % CALLS_PER_FAILURE == 0 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def webhook_receiver(principal: Principal) -> Iterator[None]:
    """Runs the merchant's server inside the context."""
    if not settings.WEBHOOK_ALLOW_LOOPBACK:
        yield
        return
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        _register_endpoint(principal, f"http://127.0.0.1:{server.server_port}/payments")
        yield
    finally:
        server.shutdown()
        server.server_close()


def deliver_webhooks() -> None:
    """Does what the relay and the webhook worker do, where none runs; beside them it is harmless."""
    if not settings.WEBHOOK_ALLOW_LOOPBACK:
        return
    while fanout.fan_out_batch():
        pass
    for lane in Lane:
        while claimed := claims.claim_deliveries(lane=lane, places=BATCH):
            for claim in claimed:
                delivery.attempt_delivery(claim)


def _register_endpoint(principal: Principal, url: str) -> None:
    known = WebhookEndpoint.objects.filter(
        merchant_id=principal.merchant_id, environment=principal.environment, status=EndpointStatus.ENABLED
    ).exclude(url="")
    if (endpoint := known.first()) is not None:
        endpoints.update_endpoint(principal=principal, endpoint_id=endpoint.pk, changes={"url": url})
        return
    endpoints.register_endpoint(
        principal=principal, endpoint_id=uuid7(), url=url, event_types=EVENT_TYPES, description="Till system"
    )
