"""Accounts at channels, as merchants and staff add them.

The platform's own account of each channel and environment has no row: its credentials are settings.
"""

import secrets

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channel_accounts.application_fees import BASIS_POINTS_PER_WHOLE, ApplicationFee
from channels.base import AccountKind
from common.ids import uuid7
from merchants.models import Environment, Merchant

ACCOUNT_KINDS = [
    (AccountKind.OWN.value, _("With its own keys")),
    (AccountKind.CONNECTED.value, _("Connected to the platform's account")),
]


class AccountStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    # Takes no new payments. Its payments are still queried, captured, cancelled and refunded.
    DISABLED = "disabled", _("Disabled")


class AccountDisabledReason(models.TextChoices):
    """The reason why the platform has disabled an account by itself. Empty: a person has."""

    DISCONNECTED = "disconnected", _("The owner has disconnected it from the platform")


class CredentialCheckResult(models.TextChoices):
    """The channel's answer to the last check of the credentials."""

    ACCEPTED = "accepted", _("Accepted by the channel")
    REFUSED = "refused", _("Refused by the channel")
    UNCHECKED = "unchecked", _("Not checked: the channel did not answer")


def new_webhook_token() -> str:
    return secrets.token_urlsafe(24)


class StoredChannelAccount(models.Model):
    """The row of one account. Channels receive it as `channels.base.ChannelAccount`.

    Merchant, environment, channel and kind never change (trigger, migration 0002).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text=_("Empty: an account of the platform, for merchants that have none of their own."),
    )
    environment = models.CharField(max_length=10, choices=Environment)
    channel = models.CharField(max_length=30)
    kind = models.CharField(
        max_length=20,
        choices=ACCOUNT_KINDS,
        default=AccountKind.OWN.value,
        db_default=AccountKind.OWN.value,
    )
    display_name = models.CharField(max_length=100)
    account_no = models.CharField(
        max_length=100,
        blank=True,
        db_default="",
        help_text=_("The channel's own name of the account, where a credential is one."),
    )
    # The credentials as JSON, encrypted (common/crypto.py).
    sealed_credentials = models.TextField()
    # After a rotation, webhooks that were signed with the previous credentials are accepted as well until then.
    previous_sealed_credentials = models.TextField(blank=True)
    previous_credentials_until = models.DateTimeField(null=True, blank=True)
    capabilities = models.JSONField(
        default=dict,
        blank=True,
        help_text=_("The enabled payment methods. Empty: all that the channel offers."),
    )
    status = models.CharField(max_length=20, choices=AccountStatus, default=AccountStatus.ACTIVE)
    disabled_reason = models.CharField(
        max_length=20, choices=AccountDisabledReason, blank=True, db_default=""
    )
    fee_basis_points = models.PositiveIntegerField(
        default=0, db_default=0, help_text=_("Application fee: basis points (1/100 %) of the amount.")
    )
    fee_fixed_minor = models.JSONField(
        default=dict,
        blank=True,
        help_text=_("Application fee: the fixed amount of each currency, in minor units."),
    )
    returns_fee_on_refund = models.BooleanField(
        default=False,
        db_default=False,
        help_text=_("A refund gives back its part of the application fee too."),
    )
    webhook_token = models.CharField(
        max_length=64,
        unique=True,
        default=new_webhook_token,
        editable=False,
        help_text=_("The last part of the address to which the channel sends the webhooks of this account."),
    )
    last_checked_at = models.DateTimeField(null=True, blank=True)
    last_check_result = models.CharField(max_length=20, choices=CredentialCheckResult, blank=True)
    last_check_details = models.CharField(
        max_length=255, blank=True, help_text=_("The account as the channel knows it, or why it was refused.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "channel_accounts"
        verbose_name = _("channel account")
        verbose_name_plural = _("channel accounts")
        constraints = [
            models.CheckConstraint(
                name="channel_account_environment_known", condition=Q(environment__in=Environment.values)
            ),
            models.CheckConstraint(
                name="channel_account_status_known", condition=Q(status__in=AccountStatus.values)
            ),
            models.CheckConstraint(
                name="channel_account_connected",
                condition=Q(kind=AccountKind.OWN.value, fee_basis_points=0, fee_fixed_minor={})
                | Q(
                    kind=AccountKind.CONNECTED.value,
                    merchant__isnull=False,
                    fee_basis_points__lte=BASIS_POINTS_PER_WHOLE,
                )
                & ~Q(account_no=""),
            ),
            models.UniqueConstraint(
                name="channel_account_connected_once",
                fields=["channel", "environment", "account_no"],
                condition=Q(kind=AccountKind.CONNECTED.value),
            ),
            models.CheckConstraint(
                name="channel_account_disabled_reason",
                condition=Q(disabled_reason="")
                | Q(disabled_reason__in=AccountDisabledReason.values, status=AccountStatus.DISABLED),
            ),
            models.CheckConstraint(
                name="channel_account_check_known",
                condition=Q(last_check_result__in=["", *CredentialCheckResult.values]),
            ),
            models.CheckConstraint(
                name="channel_account_is_sealed",
                condition=~Q(sealed_credentials="") & ~Q(channel="") & ~Q(webhook_token=""),
            ),
            models.CheckConstraint(
                name="channel_account_overlap_ends",
                condition=Q(previous_sealed_credentials="", previous_credentials_until__isnull=True)
                | ~Q(previous_sealed_credentials="") & Q(previous_credentials_until__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                name="channel_account_of_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
            models.Index(
                name="channel_account_serving", fields=["environment", "channel", "merchant", "-id"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.channel}: {self.display_name}"

    @property
    def payment_methods(self) -> list[str]:
        """The enabled methods; empty: all that the channel offers."""
        methods: list[str] = self.capabilities.get("payment_methods", [])
        return methods

    @property
    def application_fee(self) -> ApplicationFee:
        return ApplicationFee(self.fee_basis_points, self.fee_fixed_minor)
