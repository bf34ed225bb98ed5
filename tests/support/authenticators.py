"""A person's authenticator app: registered with an account, and the codes that it shows."""

import time

from django.contrib.auth.models import User
from django_otp.oath import TOTP

from staff.models import Authenticator

STEP_SECONDS = 30


def register_authenticator(user: User) -> None:
    authenticator = Authenticator.create_unconfirmed(user.pk)
    authenticator.confirmed = True
    authenticator.save()


def compute_code(key: bytes, *, steps_ahead: int = 0) -> str:
    totp = TOTP(key)
    totp.time = time.time() + STEP_SECONDS * steps_ahead
    return f"{totp.token():06d}"


def compute_code_of(user: User, *, steps_ahead: int = 0) -> str:
    return compute_code(Authenticator.objects.get(user=user).key, steps_ahead=steps_ahead)


def compute_fresh_code_of(user: User) -> str:
    """A code that counts, although the same code was used before at the frozen time of the test."""
    Authenticator.objects.filter(user=user).update(last_step=-1)
    return compute_code_of(user)
