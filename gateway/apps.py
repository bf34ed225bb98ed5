from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = _("Payments and channels")

    def ready(self) -> None:
        # Importing a flow registers its definition with the engine.
        from gateway.flows import (  # noqa: F401
            dispute_respond,
            payment_cancel,
            payment_capture,
            payment_complete,
            payment_create,
            payment_increment_authorization,
            payment_retry,
            refund_create,
        )
        from idempotency import metrics

        for route in ("/payments", "/refunds"):
            metrics.create_series(route)
