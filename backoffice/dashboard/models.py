"""Hours that are over, added up once, so that a month of payments is a few thousand rows."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from merchants.models import Merchant


class PaymentHour(models.Model):
    """Payments that were created in one hour, by what became of them. An hour with open payments is added up anew."""

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(_("hour"))
    environment = models.CharField(_("environment"), max_length=10)
    channel = models.CharField(_("channel"), max_length=30)
    currency = models.CharField(_("currency"), max_length=3)
    status = models.CharField(_("status"), max_length=20)
    count = models.PositiveIntegerField(_("count"))
    amount_minor = models.BigIntegerField(_("amount in minor units"))

    class Meta:
        db_table = "payment_hours"
        verbose_name = _("hour of payments")
        verbose_name_plural = _("hours of payments")
        constraints = [
            models.UniqueConstraint(
                name="payment_hour_once", fields=["hour", "environment", "channel", "currency", "status"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.status}"


class PaidHour(models.Model):
    """The payments and refunds of one hour."""

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(_("hour"))
    environment = models.CharField(_("environment"), max_length=10)
    channel = models.CharField(_("channel"), max_length=30)
    currency = models.CharField(_("currency"), max_length=3)
    captured_minor = models.BigIntegerField(_("captured"))
    refunded_minor = models.BigIntegerField(_("refunded"))

    class Meta:
        db_table = "paid_hours"
        verbose_name = _("hour of money")
        verbose_name_plural = _("hours of money")
        constraints = [
            models.UniqueConstraint(
                name="paid_hour_once", fields=["hour", "environment", "channel", "currency"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.currency}"


class MerchantHour(models.Model):
    """Payments of one merchant that were created in one hour, and the money that moved in it."""

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(_("hour"))
    environment = models.CharField(_("environment"), max_length=10)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    currency = models.CharField(_("currency"), max_length=3)
    payment_count = models.PositiveIntegerField(_("payments"))
    succeeded_count = models.PositiveIntegerField(_("succeeded"))
    failed_count = models.PositiveIntegerField(_("failed"))
    captured_minor = models.BigIntegerField(_("captured"))
    refunded_minor = models.BigIntegerField(_("refunded"))

    class Meta:
        db_table = "merchant_hours"
        verbose_name = _("hour of a merchant")
        verbose_name_plural = _("hours of merchants")
        constraints = [
            models.UniqueConstraint(
                name="merchant_hour_once", fields=["merchant", "hour", "environment", "currency"]
            )
        ]
        indexes = [models.Index(name="merchant_hour_by_hour", fields=["hour"])]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.merchant_id}"


class LatencyHour(models.Model):
    """Calls to one channel in one hour whose length falls into one bucket (`latency.py`)."""

    id = models.BigAutoField(primary_key=True)
    hour = models.DateTimeField(_("hour"))
    channel = models.CharField(_("channel"), max_length=30)
    bucket = models.PositiveSmallIntegerField(_("bucket"))
    count = models.PositiveIntegerField(_("count"))

    class Meta:
        db_table = "latency_hours"
        verbose_name = _("hour of channel calls")
        verbose_name_plural = _("hours of channel calls")
        constraints = [
            models.UniqueConstraint(name="latency_hour_once", fields=["hour", "channel", "bucket"])
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.channel}"


class Progress(models.Model):
    """The progress of adding up: `position` is the hour (seconds since 1970) or the id of the last event."""

    name = models.CharField(_("name"), max_length=30, primary_key=True)
    position = models.BigIntegerField(_("position"), default=0)

    class Meta:
        db_table = "dashboard_progress"
        verbose_name = _("progress of adding up")
        verbose_name_plural = _("progress of adding up")

    def __str__(self) -> str:
        return self.name
