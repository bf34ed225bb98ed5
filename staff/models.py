"""Permissions of staff, their second factors (ADR 11), preferences and saved views.

django-otp's own devices store their secrets in the clear. Ours seals the authenticator's key and hashes the recovery
codes; throttling, sessions and the TOTP algorithm are django-otp's.
"""

import secrets
import time
from base64 import b32encode
from urllib.parse import quote, urlencode

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.models import Device, ThrottlingMixin
from django_otp.oath import TOTP

from common.crypto import keyed_hash, seal, unseal
from common.ids import uuid7
from staff.session_store import SessionStore

STEP_SECONDS, DIGITS, TOLERANCE_STEPS = 30, 6, 1
ISSUER = "Payment Platform"
RECOVERY_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without characters that are easily confused
RECOVERY_LENGTH, RECOVERY_COUNT = 10, 10
# The wait after a wrong code doubles up to 256 times the first. Without a limit, somebody who knows only the password
# could lock the person out.
MAX_COUNTED_FAILURES = 9


class StaffPermission(models.Model):
    """No table: the content type of the permissions in staff/roles.py."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("refund_payment", "Can refund payments"),
            ("cancel_payment", "Can cancel payments that are not paid"),
            ("capture_payment", "Can capture authorized payments"),
            ("sync_payment", "Can query the channel about a payment"),
            ("resolve_saga", "Can mark sagas as resolved"),
            ("approve_operation", "Can approve operations that another person requested"),
            ("export_rows", "Can export lists"),
            ("handle_work_items", "Can assign, snooze and annotate items of the work queue"),
            ("test_endpoint", "Can send test calls to webhook endpoints"),
            ("resend_webhook", "Can resend webhook deliveries"),
            ("settle_statements", "Can decide settlement cases, and add agreed channel fees"),
            ("manage_routing", "Can add and end routing rules"),
            ("manage_fees", "Can request, approve and reject changes of fee plans"),
            ("manage_merchants", "Can create, suspend and reactivate merchants"),
            ("manage_keys", "Can rotate and revoke API keys"),
            ("manage_channel_accounts", "Can add, check, rotate and disable channel accounts"),
            ("answer_disputes", "Can write and submit answers to disputes, and accept disputes"),
            ("manage_payouts", "Can set payout plans and bank accounts, and create payout runs"),
            ("manage_staff", "Can invite staff, set their roles and end their access"),
        ]


class Authenticator(ThrottlingMixin, Device):
    """A person's authenticator app, with recovery codes in case it is lost."""

    sealed_key = models.TextField()
    last_step = models.BigIntegerField(default=-1, help_text=_("Each code is accepted only once."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "staff_authenticators"
        verbose_name = _("authenticator")
        verbose_name_plural = _("authenticators")
        constraints = [
            models.UniqueConstraint(
                name="authenticator_one_per_person", fields=["user"], condition=models.Q(confirmed=True)
            ),
            models.UniqueConstraint(
                name="authenticator_one_to_confirm", fields=["user"], condition=models.Q(confirmed=False)
            ),
        ]

    @classmethod
    def create_unconfirmed(cls, user_id: int) -> "Authenticator":
        key = seal(secrets.token_bytes(20).hex())
        return cls(user_id=user_id, name="authenticator", confirmed=False, sealed_key=key)

    @property
    def key(self) -> bytes:
        return bytes.fromhex(unseal(self.sealed_key))

    def get_throttle_factor(self) -> float:
        return float(settings.STAFF_OTP_THROTTLE_SECONDS)

    def build_otpauth_url(self) -> str:
        """Returns the content of the QR code: `otpauth://totp/…`."""
        label = quote(f"{ISSUER}:{self.user.get_username()}")
        query = {"secret": b32encode(self.key).decode().rstrip("="), "issuer": ISSUER}
        return f"otpauth://totp/{label}?{urlencode(query, quote_via=quote)}"

    def verify_token(self, token: str) -> bool:
        """Uses up the code; the caller has locked the row. After each wrong code, the wait before the next one
        doubles."""
        is_allowed, _details = self.verify_is_allowed()
        if not is_allowed:
            return False
        text = token.strip().replace(" ", "").lower()
        if self._accept_app_code(text) or self._accept_recovery_code(text):
            self.throttle_reset(commit=False)
            self.save()
            return True
        self.throttle_increment(commit=False)
        self.throttling_failure_count = min(self.throttling_failure_count, MAX_COUNTED_FAILURES)
        self.save()
        return False

    def _accept_app_code(self, text: str) -> bool:
        if not (text.isascii() and text.isdecimal() and len(text) == DIGITS):
            return False
        totp = TOTP(self.key, step=STEP_SECONDS, digits=DIGITS)
        totp.time = time.time()
        if not totp.verify(int(text), tolerance=TOLERANCE_STEPS, min_t=self.last_step + 1):
            return False
        self.last_step = totp.t()
        return True

    def _accept_recovery_code(self, text: str) -> bool:
        deleted, _by_model = self.recovery_codes.filter(code_hash=hash_recovery_code(text)).delete()
        return bool(deleted)


class RecoveryCode(models.Model):
    """Can be used once: using it deletes the row."""

    authenticator = models.ForeignKey(Authenticator, on_delete=models.CASCADE, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64)

    class Meta:
        db_table = "staff_recovery_codes"
        verbose_name = _("recovery code")
        verbose_name_plural = _("recovery codes")
        constraints = [
            models.UniqueConstraint(name="recovery_code_once", fields=["authenticator", "code_hash"])
        ]


class Passkey(Device):
    """A WebAuthn credential of a person: on a phone, in a password manager or on a security key."""

    credential_id = models.CharField(max_length=1400)  # base64url, as the browser sends it
    public_key = models.TextField(help_text=_("COSE key, base64url."))
    sign_count = models.BigIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    accepted_challenges = models.JSONField(
        default=dict, editable=False, help_text=_("Challenges of the last minutes, each with its end.")
    )

    class Meta:
        db_table = "staff_passkeys"
        verbose_name = _("passkey")
        verbose_name_plural = _("passkeys")
        constraints = [models.UniqueConstraint(name="passkey_once", fields=["credential_id"])]


class StaffSession(AbstractBaseSession):
    """An open session of a browser (`session_store.py`). Without a user while nobody has signed in with it."""

    public_id = models.UUIDField(unique=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+", editable=False
    )
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    user_agent = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        db_table = "staff_sessions"
        verbose_name = _("session")
        verbose_name_plural = _("sessions")

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        return SessionStore


class SingleSignOnIdentity(Device):
    """A person's identity at the provider of single sign-on (`sso_provider.py`). A session that began there has it as
    its second factor: the provider has checked one."""

    issuer = models.CharField(max_length=255)
    subject = models.CharField(max_length=255, help_text=_("The provider's identifier of the person."))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        db_table = "staff_single_sign_on_identities"
        verbose_name = _("single sign-on identity")
        verbose_name_plural = _("single sign-on identities")
        constraints = [
            models.UniqueConstraint(name="single_sign_on_identity_once", fields=["issuer", "subject"]),
            models.UniqueConstraint(name="single_sign_on_identity_of_person", fields=["user"]),
        ]


def generate_recovery_code() -> str:
    """Returns a code such as `abcde-fghjk`."""
    text = "".join(secrets.choice(RECOVERY_ALPHABET) for _ in range(RECOVERY_LENGTH))
    return f"{text[:5]}-{text[5:]}"


def hash_recovery_code(text: str) -> str:
    return keyed_hash(text.replace("-", "").encode(), purpose="recovery-code")


class StaffPreferences(models.Model):
    """The preferences of a person. Without a row, everything is as the lists and the browser have it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="preferences"
    )
    time_zone = models.CharField(
        max_length=50, blank=True, default="", help_text=_("Empty: the zone of the browser.")
    )
    environment = models.CharField(
        max_length=4,
        blank=True,
        default="",
        help_text=_("What the person works on: test or live. Empty: live, on the local stack test."),
    )
    list_columns = models.JSONField(
        default=dict, blank=True, help_text=_("The columns that the person has chosen, by list.")
    )

    class Meta:
        db_table = "staff_preferences"
        verbose_name = _("preferences")
        verbose_name_plural = _("preferences")

    def __str__(self) -> str:
        return self.time_zone


class SavedView(models.Model):
    """Filters, search and order of a list under a name. A shared one is offered to everybody; only its owner changes
    it. It grants nothing: the list asks for its own permission."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    list_name = models.CharField(max_length=100, help_text=_("App and model, such as gateway.payment."))
    name = models.CharField(max_length=60)
    query = models.CharField(max_length=2000, blank=True)
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "staff_saved_views"
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        constraints = [
            models.UniqueConstraint(name="saved_view_name_once", fields=["owner", "list_name", "name"])
        ]
        indexes = [
            models.Index(name="saved_view_shared", fields=["list_name"], condition=models.Q(is_shared=True))
        ]

    def __str__(self) -> str:
        return self.name
