from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = _("Payments and channels")

    def ready(self) -> None:
        # Importing a flow registers its definition with the engine.
        from gateway.flows import payment_cancel, payment_capture, payment_create, refund_create  # noqa: F401
        from idempotency import metrics

        for route in ("/payments", "/refunds"):
            metrics.announce(route)
