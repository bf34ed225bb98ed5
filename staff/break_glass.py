"""The accounts that can sign in without the provider of single sign-on."""

from django.conf import settings
from django.contrib.auth.models import User


def can_use_own_credentials(user: User) -> bool:
    """Whether the person may sign in with a password or a passkey. While STAFF_BREAK_GLASS_ACCOUNTS has names, only
    these may: for a provider that is down."""
    names = settings.STAFF_BREAK_GLASS_ACCOUNTS
    return not names or user.get_username() in names
