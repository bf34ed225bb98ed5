"""Refunds that the channel has made and that exceed what the payment holds (ADR 49)."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from common.ids import uuid7
from gateway.models.attempt import PaymentAttempt
from gateway.models.payment import Payment
from gateway.models.refund import Refund


class SuspenseStatus(models.TextChoices):
    OPEN = "open", _("In suspense")
    BOOKED = "booked", _("Booked as a refund")
    RETURNED = "returned", _("Returned by the bank")
    CHARGED = "charged", _("Charged to the merchant")


class SuspenseItem(models.Model):
    """Money that a refund at the channel took and for which the payment has no room. It is in the ledger's suspense
    account while the item is open. The excess of a dispute is `Dispute.suspense_minor`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    payment = models.ForeignKey(
        Payment, on_delete=models.PROTECT, related_name="suspense_items", db_index=False
    )
    attempt = models.ForeignKey(
        PaymentAttempt,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("The duplicate payment it is about; empty: the payment's own money."),
    )
    refund = models.ForeignKey(
        Refund,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_(
            "The refund whose rest it is. Empty: a refund at the channel that has no number of ours."
        ),
    )
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: the platform's own account."),
    )
    channel_refund_no = models.CharField(max_length=255)
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    status = models.CharField(max_length=20, choices=SuspenseStatus, default=SuspenseStatus.OPEN)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "suspense_items"
        verbose_name = _("suspense item")
        verbose_name_plural = _("suspense items")
        constraints = [
            models.UniqueConstraint(name="suspense_item_once", fields=["payment", "channel_refund_no"]),
            models.CheckConstraint(name="suspense_amount_positive", condition=Q(amount_minor__gt=0)),
            models.CheckConstraint(
                name="suspense_status_known", condition=Q(status__in=SuspenseStatus.values)
            ),
        ]
        indexes = [
            models.Index(
                name="suspense_item_open", fields=["opened_at"], condition=Q(status=SuspenseStatus.OPEN)
            ),
        ]

    def __str__(self) -> str:
        return self.channel_refund_no
