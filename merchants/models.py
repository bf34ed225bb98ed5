"""Merchants, their API keys and used nonces.

A deferred trigger (migration 0002) refuses to commit a merchant without a test key and a live key.
"""

import datetime as dt

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Lower, Now, Upper
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7


class MerchantStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")


class Environment(models.TextChoices):
    TEST = "test", _("Test")
    LIVE = "live", _("Live")


BOTH_ENVIRONMENTS = "all"  # of lists and filters; no row has it


class KeyState(models.TextChoices):
    """Not a column: it is computed from the key's dates and the clock."""

    ACTIVE = "active", _("Active")
    RETIRING = "retiring", _("Retiring")
    RETIRED = "retired", _("Retired")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")


class Merchant(models.Model):
    """A company that takes payments through us."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(unique=True, help_text=_("Stored in lower case."))
    name = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=MerchantStatus, default=MerchantStatus.ACTIVE)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "merchants"
        verbose_name = _("merchant")
        verbose_name_plural = _("merchants")
        constraints = [
            models.CheckConstraint(
                name="merchant_status_known", condition=models.Q(status__in=MerchantStatus.values)
            ),
            models.CheckConstraint(
                name="merchant_email_lower_case", condition=models.Q(email=Lower("email"))
            ),
        ]
        indexes = [models.Index(OpClass(Upper("name"), name="text_pattern_ops"), name="merchant_find_name")]

    def __str__(self) -> str:
        return self.name


class ApiKey(models.Model):
    """A key of one environment. Rows are never deleted, so the key of an old request can always be looked up."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="api_keys", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    public_id = models.CharField(max_length=32, unique=True)
    key_hash = models.CharField(max_length=64, unique=True)
    sealed_secret = models.TextField()
    hint = models.CharField(max_length=50, help_text=_("Beginning and end of the key, to recognize it."))
    label = models.CharField(max_length=100, blank=True)
    scopes = ArrayField(models.CharField(max_length=50))
    allowed_ips = ArrayField(
        models.CharField(max_length=50),
        default=list,
        blank=True,
        help_text=_("CIDR networks. Empty: no restriction."),
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    retires_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Rotated: valid together with its successor until then.")
    )
    replaced_by = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaces"
    )
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "api_keys"
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        constraints = [
            models.CheckConstraint(
                name="api_key_environment_known", condition=models.Q(environment__in=Environment.values)
            ),
            models.CheckConstraint(
                name="api_key_retires_once_replaced",
                condition=models.Q(retires_at__isnull=True) | models.Q(replaced_by__isnull=False),
            ),
        ]
        indexes = [models.Index(name="api_key_of_merchant", fields=["merchant", "environment", "-id"])]

    def __str__(self) -> str:
        return self.hint

    @property
    def ends_at(self) -> dt.datetime | None:
        """When the key stops working without being revoked: it expires, or it was rotated and its overlap ends."""
        return min((end for end in (self.expires_at, self.retires_at) if end is not None), default=None)

    def state_at(self, now: dt.datetime) -> KeyState:
        """Returns the state at this time. A revoked key is revoked whatever the clock says."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.expires_at is not None and self.expires_at <= now:
            return KeyState.EXPIRED
        if self.retires_at is None:
            return KeyState.ACTIVE
        return KeyState.RETIRING if now < self.retires_at else KeyState.RETIRED

    def is_usable_at(self, now: dt.datetime) -> bool:
        return self.state_at(now) in (KeyState.ACTIVE, KeyState.RETIRING)


class RequestNonce(models.Model):
    """A used nonce. In PostgreSQL, because a flushed Redis must not let a recorded request run again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False)
    nonce = models.CharField(max_length=128)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "request_nonces"
        verbose_name = _("request nonce")
        verbose_name_plural = _("request nonces")
        constraints = [models.UniqueConstraint(name="request_nonce_spent_once", fields=["api_key", "nonce"])]
        indexes = [models.Index(name="request_nonce_to_prune", fields=["created_at"])]

    def __str__(self) -> str:
        return self.nonce
