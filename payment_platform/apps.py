import gc

from django.apps import AppConfig


class PaymentPlatformConfig(AppConfig):
    name = "payment_platform"

    def ready(self) -> None:
        """Resumes garbage collection, without the objects of the start: it need not look at them again, and processes
        that are forked from this one go on sharing their memory."""
        gc.freeze()
        gc.enable()
