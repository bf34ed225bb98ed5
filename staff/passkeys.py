"""Registers passkeys (WebAuthn) of staff, and signs staff in with them.

A passkey signs in without password and code: the device that holds it checks a PIN, a fingerprint or a face, so it is
two factors in one. Adding one needs a code of the authenticator app, which stays the way to recover.
"""

import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from audit.action_types import StaffActionType
from staff.break_glass import can_use_own_credentials
from staff.models import ISSUER, Passkey
from staff.second_factor import record_own_change

log = structlog.get_logger(__name__)

MOST_PASSKEYS = 10  # of one person
LONGEST_RESPONSE = 20_000  # characters
CHALLENGE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Ceremony:
    """What the browser is asked for. Keep the challenge, and accept it once."""

    options: str  # JSON
    challenge: str


def list_passkeys(*, user: User) -> QuerySet[Passkey]:
    return Passkey.objects.filter(user=user).order_by("created_at", "pk")


def begin_registration(*, user: User) -> Ceremony:
    options = generate_registration_options(
        rp_id=_get_host(),
        rp_name=ISSUER,
        user_id=_get_user_handle(user),
        user_name=user.get_username(),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[
            PublicKeyCredentialDescriptor(id=base64url_to_bytes(each.credential_id))
            for each in list_passkeys(user=user)
        ],
    )
    return Ceremony(options_to_json(options), bytes_to_base64url(options.challenge))


def finish_registration(*, user: User, name: str, response: str, challenge: str) -> Passkey | None:
    """Returns None when the browser's response is not valid, the passkey is known, or the person has too many."""
    credential = _read_response(response)
    if credential is None:
        return None
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=_get_host(),
            expected_origin=_get_origin(),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError) as error:
        log.info("staff.passkey_refused", actor=user.get_username(), error=str(error))
        return None
    passkey = Passkey(
        user=user,
        name=name,
        credential_id=bytes_to_base64url(verified.credential_id),
        public_key=bytes_to_base64url(verified.credential_public_key),
        sign_count=verified.sign_count,
    )
    try:
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            if list_passkeys(user=user).count() >= MOST_PASSKEYS:
                return None
            passkey.save()
            record_own_change(user, StaffActionType.PASSKEY_ADDED, passkey=name)
    except IntegrityError:
        log.info("staff.passkey_refused", actor=user.get_username(), error="known already")
        return None
    return passkey


def begin_sign_in() -> Ceremony:
    """The person is not known yet: the passkey tells who it is."""
    options = generate_authentication_options(
        rp_id=_get_host(), user_verification=UserVerificationRequirement.REQUIRED
    )
    return Ceremony(options_to_json(options), bytes_to_base64url(options.challenge))


def finish_sign_in(*, response: str, challenge: str) -> Passkey | None:
    """Returns the passkey, whose `user` may sign in; None when the response is not valid, or was accepted before: the
    browser keeps the challenge in a cookie that can be sent again."""
    credential = _read_response(response)
    if credential is None:
        return None
    with transaction.atomic():
        passkey: Passkey | None = (
            Passkey.objects.select_for_update(of=("self",))
            .select_related("user")
            .filter(
                credential_id=str(credential.get("id", "")).rstrip("="),
                user__is_active=True,
                user__is_staff=True,
            )
            .first()
        )
        if passkey is None:
            log.info("staff.passkey_refused", actor="", error="unknown passkey or no access")
            return None
        if not can_use_own_credentials(passkey.user):
            log.info("staff.passkey_refused", actor=passkey.user.get_username(), error="single sign-on only")
            return None
        now = time.time()
        accepted = {each: end for each, end in passkey.accepted_challenges.items() if end > now}
        if challenge in accepted:
            log.info("staff.passkey_refused", actor=passkey.user.get_username(), error="used already")
            return None
        try:
            verified = verify_authentication_response(
                credential=credential,
                expected_challenge=base64url_to_bytes(challenge),
                expected_rp_id=_get_host(),
                expected_origin=_get_origin(),
                credential_public_key=base64url_to_bytes(passkey.public_key),
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as error:
            log.info("staff.passkey_refused", actor=passkey.user.get_username(), error=str(error))
            return None
        Passkey.objects.filter(pk=passkey.pk).update(
            sign_count=verified.new_sign_count,
            last_used_at=Now(),
            accepted_challenges={**accepted, challenge: now + CHALLENGE_SECONDS},
        )
    log.info("staff.passkey_used", actor=passkey.user.get_username())
    return passkey


def rename_passkey(*, user: User, passkey_id: int, name: str) -> bool:
    """Returns False if the person has no such passkey."""
    with transaction.atomic():
        renamed = Passkey.objects.filter(user=user, pk=passkey_id).update(name=name)
        if renamed:
            record_own_change(user, StaffActionType.PASSKEY_RENAMED, passkey=name)
    return bool(renamed)


def remove_passkey(*, user: User, passkey_id: int) -> bool:
    """Sessions that began with it have no second factor any more. Returns False if the person has no such passkey."""
    with transaction.atomic():
        passkey = Passkey.objects.select_for_update().filter(user=user, pk=passkey_id).first()
        if passkey is None:
            return False
        passkey.delete()
        record_own_change(user, StaffActionType.PASSKEY_REMOVED, passkey=passkey.name)
    return True


def _read_response(response: str) -> dict[str, object] | None:
    if len(response) > LONGEST_RESPONSE:
        return None
    try:
        content = json.loads(response)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _get_host() -> str:
    """The relying party id: browsers offer a passkey only on this host."""
    return urlsplit(settings.PUBLIC_BASE_URL).hostname or "localhost"


def _get_origin() -> str:
    parts = urlsplit(settings.PUBLIC_BASE_URL)
    return f"{parts.scheme}://{parts.netloc}"


def _get_user_handle(user: User) -> bytes:
    return f"staff-{user.pk}".encode()
