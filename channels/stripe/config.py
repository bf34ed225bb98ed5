"""The credentials of accounts at Stripe, and the client that uses them."""

import logging
from collections.abc import Mapping
from typing import Any

import stripe
from django.conf import settings
from django.utils.translation import gettext_noop

from channels.base import AccountKind, ChannelAccount, CredentialField
from channels.stripe.http import DeadlineClient

# Our code reads objects of this version, whatever the default version of the account is.
API_VERSION = "2026-10-28.endive"
# The SDK's log lines at INFO repeat ours.
logging.getLogger("stripe").setLevel(logging.WARNING)


SECRET_KEY, WEBHOOK_SECRETS = "secret_key", "webhook_secrets"
# A connected account has no key of its own: it is named in the header Stripe-Account of calls with the platform's key
# (docs.stripe.com/connect/authentication).
STRIPE_ACCOUNT = "stripe_account"
CREDENTIAL_FIELDS = (
    CredentialField(
        SECRET_KEY, gettext_noop("Secret key"), help_text=gettext_noop("Begins with sk_ or rk_.")
    ),
    CredentialField(
        WEBHOOK_SECRETS,
        gettext_noop("Signing secrets of the webhook endpoint"),
        help_text=gettext_noop("Each begins with whsec_. Several, separated by commas, during a rotation."),
    ),
    CredentialField(
        STRIPE_ACCOUNT,
        gettext_noop("Connected account"),
        is_secret=False,
        help_text=gettext_noop(
            "Begins with acct_. It must be connected to the platform's account at Stripe."
        ),
        names_account=True,
        kind=AccountKind.CONNECTED,
    ),
)


def get_platform_credentials(environment: str) -> Mapping[str, str]:
    """Returns the credentials of the platform's own account; empty values where settings are missing."""
    return {
        SECRET_KEY: settings.STRIPE_SECRET_KEYS[environment],
        WEBHOOK_SECRETS: ",".join(settings.STRIPE_WEBHOOK_SECRETS[environment]),
    }


def get_webhook_secrets(account: ChannelAccount) -> list[str]:
    """Returns the signing secrets, newest first; several during a rotation."""
    values = (account.credentials, account.previous_credentials)
    joined = ",".join(each.get(WEBHOOK_SECRETS, "") for each in values)
    return [secret.strip() for secret in joined.split(",") if secret.strip()]


def get_connected_account(account: ChannelAccount) -> str:
    """Returns the number (acct_…) of a connected account; empty for an account with a key of its own."""
    return account.credentials.get(STRIPE_ACCOUNT, "")


def get_connect_webhook_secrets(account: ChannelAccount) -> list[str]:
    """Returns the signing secrets of the platform's Connect endpoint. They verify nothing for an account that a
    merchant added with a key of its own: an event for it never names an account."""
    if account.id is None or get_connected_account(account):
        return list(settings.STRIPE_CONNECT_WEBHOOK_SECRETS[account.environment])
    return []


def get_secret_key(account: ChannelAccount) -> str:
    """Returns the key of the account, for a connected one the platform's; empty when the setting is missing."""
    if get_connected_account(account):
        return settings.STRIPE_SECRET_KEYS[account.environment]
    return account.credentials[SECRET_KEY]


def build_client(account: ChannelAccount, timeout_seconds: float) -> stripe.StripeClient:
    """Builds a client of the account whose calls together end within `timeout_seconds`.

    The SDK's own retries are off: the saga repeats a call after a query. Raises `AuthenticationError` without a key.
    """
    key = get_secret_key(account)
    if not key:
        raise stripe.AuthenticationError("The platform has no key for this environment.")
    # Files go to another host of Stripe's.
    base = settings.STRIPE_API_BASE
    addresses: Any = {"api": base, "files": base} if base else {}
    return stripe.StripeClient(
        key,
        stripe_account=get_connected_account(account) or None,
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=0,
        http_client=DeadlineClient(timeout_seconds),
    )
