"""Merchants' webhook endpoints, the deliveries of events to them, and every delivery attempt."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from merchants.models import Environment, Merchant

MAX_ERROR_LENGTH = 500  # of an attempt


class EndpointKind(models.TextChoices):
    REGISTERED = "registered", _("Registered")
    # One for each merchant and environment: it holds the secret that signs calls to the `callback_url` of payments.
    CALLBACK = "callback", _("Callback address of payments")


class EndpointStatus(models.TextChoices):
    ENABLED = "enabled", _("Enabled")
    DISABLED = "disabled", _("Disabled")
    DELETED = "deleted", _("Deleted")


class DisabledReason(models.TextChoices):
    MERCHANT = "merchant", _("Disabled by the merchant")
    GONE = "gone", _("Answered 410 Gone")
    FAILING = "failing", _("Failing for five days")


class Lane(models.TextChoices):
    """Fast endpoints never wait for slow ones: see `webhooks.claims`."""

    FAST = "fast", _("Fast")
    SLOW = "slow", _("Slow")


class DeliveryStatus(models.TextChoices):
    PENDING = "pending", _("Pending")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


class AttemptOutcome(models.TextChoices):
    IN_FLIGHT = "in_flight", _("In flight")
    SUCCESS = "success", _("Success")
    REJECTED = "rejected", _("Error response")
    TIMEOUT = "timeout", _("Timed out")
    UNREACHABLE = "unreachable", _("Unreachable")
    REFUSED = "refused", _("Address not allowed")
    # The worker crashed or its lease expired: whether the endpoint received the event is not known.
    ABANDONED = "abandoned", _("Abandoned")


class WebhookEndpoint(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    kind = models.CharField(max_length=20, choices=EndpointKind, default=EndpointKind.REGISTERED)
    url = models.CharField(max_length=2000, blank=True)
    description = models.CharField(max_length=255, blank=True)
    event_types = ArrayField(
        models.CharField(max_length=100), default=list, blank=True, help_text=_("Empty: all types.")
    )
    status = models.CharField(max_length=20, choices=EndpointStatus, default=EndpointStatus.ENABLED)
    disabled_reason = models.CharField(max_length=20, choices=DisabledReason, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    # The e-mail that tells the merchant that we disabled the endpoint (`webhooks.notices`).
    notice_due_at = models.DateTimeField(null=True, blank=True)
    notice_sent_at = models.DateTimeField(null=True, blank=True)
    lane = models.CharField(max_length=10, choices=Lane, default=Lane.FAST)
    sealed_secret = models.TextField()
    # After a rotation the previous secret signs as well until then, so that the merchant has time to change it.
    previous_sealed_secret = models.TextField(blank=True)
    previous_secret_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "webhook_endpoints"
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")
        constraints = [
            models.UniqueConstraint(
                name="webhook_endpoint_one_callback",
                fields=["merchant", "environment"],
                condition=Q(kind=EndpointKind.CALLBACK),
            ),
            models.CheckConstraint(
                name="webhook_endpoint_status_known", condition=Q(status__in=EndpointStatus.values)
            ),
            models.CheckConstraint(
                name="webhook_endpoint_disabled_for_a_reason",
                condition=Q(status=EndpointStatus.DISABLED, disabled_at__isnull=False)
                & ~Q(disabled_reason="")
                | ~Q(status=EndpointStatus.DISABLED) & Q(disabled_at__isnull=True, disabled_reason=""),
            ),
        ]
        indexes = [
            models.Index(name="webhook_endpoint_list", fields=["merchant", "environment", "-id"]),
            models.Index(
                name="webhook_endpoint_notice",
                fields=["notice_due_at"],
                condition=Q(notice_due_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.url or self.kind


class WebhookDelivery(models.Model):
    """One event for one endpoint. `due_at` is when a worker may claim it next; while a worker holds it, the end of the
    lease. It is empty when nothing is left to do."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    event = models.ForeignKey(
        "events.OutboxEvent", on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.PROTECT, related_name="deliveries", db_index=False
    )
    merchant_id = models.UUIDField()
    environment = models.CharField(max_length=10, choices=Environment)
    callback_url = models.CharField(max_length=2000, blank=True)
    status = models.CharField(max_length=20, choices=DeliveryStatus, default=DeliveryStatus.PENDING)
    due_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveBigIntegerField(default=0)
    attempt_count = models.PositiveIntegerField(
        default=0, help_text=_("Attempts since the delivery was created or last resent.")
    )
    last_outcome = models.CharField(max_length=20, choices=AttemptOutcome, blank=True)
    last_status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "webhook_deliveries"
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        constraints = [
            models.UniqueConstraint(name="webhook_delivery_once", fields=["event", "endpoint"]),
            models.CheckConstraint(
                name="webhook_delivery_status_known", condition=Q(status__in=DeliveryStatus.values)
            ),
            models.CheckConstraint(
                name="webhook_delivery_pending_is_due",
                condition=Q(status=DeliveryStatus.PENDING, due_at__isnull=False)
                | ~Q(status=DeliveryStatus.PENDING) & Q(due_at__isnull=True, lease_expires_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(
                name="webhook_delivery_turn",
                fields=["endpoint", "due_at"],
                condition=Q(status=DeliveryStatus.PENDING),
            ),
            models.Index(
                name="webhook_delivery_due",
                fields=["due_at"],
                condition=Q(status=DeliveryStatus.PENDING),
            ),
            models.Index(
                name="webhook_delivery_in_flight",
                fields=["lease_expires_at"],
                condition=Q(lease_expires_at__isnull=False),
            ),
            models.Index(
                name="delivery_by_merchant", fields=["merchant_id", "environment", "-created_at", "-id"]
            ),
            models.Index(
                name="delivery_by_merchant_status",
                fields=["merchant_id", "environment", "status", "-created_at", "-id"],
            ),
            # A list that is filtered by endpoint only reads each status separately.
            models.Index(
                name="delivery_by_endpoint_status", fields=["endpoint", "status", "-created_at", "-id"]
            ),
            models.Index(name="webhook_delivery_of_endpoint", fields=["endpoint", "-id"]),
            models.Index(name="webhook_delivery_newest", fields=["-created_at"]),
        ]

    def __str__(self) -> str:
        return str(self.id)


class WebhookAttempt(models.Model):
    """One call. The row is inserted before the call and completed after it, so that no call is lost."""

    id = models.BigAutoField(primary_key=True)
    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="attempts", db_index=False
    )
    fence = models.PositiveBigIntegerField()
    url = models.CharField(max_length=2000)
    outcome = models.CharField(max_length=20, choices=AttemptOutcome, default=AttemptOutcome.IN_FLIGHT)
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    response_headers = models.JSONField(default=dict, blank=True)
    response_body = models.TextField(blank=True, help_text=_("The first kilobyte."))
    error = models.CharField(max_length=MAX_ERROR_LENGTH, blank=True)
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        db_table = "webhook_attempts"
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")
        constraints = [
            models.UniqueConstraint(name="webhook_attempt_per_claim", fields=["delivery", "fence"])
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id} {self.get_outcome_display()}"
