from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        # Importing a flow registers its definition with the engine.
        from gateway.flows import payment_cancel, payment_capture, payment_create, refund_create  # noqa: F401
        from idempotency import metrics

        for route in ("/payments", "/refunds"):
            metrics.announce(route)
