from django.apps import AppConfig


class PaymentPlatformConfig(AppConfig):
    name = "payment_platform"
