"""Accounts at PayPal: their credentials and servers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings

from channels.base import LIVE, TEST, ChannelAccount, CredentialField

CREDENTIAL_FIELDS = (
    CredentialField(
        "client_id",
        "Client ID",
        is_secret=False,
        names_account=True,
        help_text="Developer Dashboard, Apps & Credentials; the app of the same environment.",
    ),
    CredentialField("client_secret", "Secret", help_text="Developer Dashboard, Apps & Credentials."),
    CredentialField(
        "webhook_id",
        "Webhook ID",
        is_secret=False,
        is_required=False,
        help_text="Shown by the app when the webhook address is entered. Without it, webhooks are refused.",
    ),
)
# developer.paypal.com/api/rest/requests: "API endpoints".
_API_BASES = {TEST: "https://api-m.sandbox.paypal.com", LIVE: "https://api-m.paypal.com"}
# The hosts that serve the certificates of webhooks (developer.paypal.com/api/rest/webhooks/rest, the example's header).
_CERTIFICATE_HOSTS = {
    TEST: frozenset({"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"}),
    LIVE: frozenset({"api.paypal.com", "api-m.paypal.com"}),
}
_CERTIFICATE_PATH = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True, slots=True)
class PayPalCredentials:
    client_id: str
    client_secret: str
    webhook_id: str

    @classmethod
    def read(cls, stored: Mapping[str, str]) -> "PayPalCredentials":
        return cls(stored.get("client_id", ""), stored.get("client_secret", ""), stored.get("webhook_id", ""))


def get_platform_credentials(environment: str) -> dict[str, str]:
    return settings.PAYPAL_CREDENTIALS[environment]


def find_missing_setting(environment: str) -> str | None:
    """Returns the name of a setting without which the platform's own account cannot be used."""
    credentials = get_platform_credentials(environment)
    for field in CREDENTIAL_FIELDS:
        if field.is_required and not credentials[field.name]:
            return f"PAYPAL_{environment.upper()}_{field.name.upper()}"
    return None


def get_api_base(environment: str) -> str:
    """The server of the environment, or `PAYPAL_API_BASE`."""
    return (settings.PAYPAL_API_BASE or _API_BASES[environment]).rstrip("/")


def is_production(api_base: str) -> bool:
    """The sandbox is another host (developer.paypal.com/api/rest/requests)."""
    host = urlsplit(api_base).hostname or ""
    return f".{host}".endswith(".paypal.com") and not f".{host}".endswith(".sandbox.paypal.com")


def is_certificate_url(url: str, environment: str) -> bool:
    """Whether PayPal itself serves the certificate. Nothing that PayPal did not write may be fetched as its key."""
    if settings.PAYPAL_API_BASE:
        path = url.removeprefix(get_api_base(environment))
        return path != url and _CERTIFICATE_PATH.fullmatch(path) is not None
    try:
        parts = urlsplit(url)
        return (
            url == f"https://{parts.hostname}{parts.path}"
            and parts.hostname in _CERTIFICATE_HOSTS[environment]
            and _CERTIFICATE_PATH.fullmatch(parts.path) is not None
        )
    except ValueError:
        return False


def get_webhook_ids(account: ChannelAccount) -> list[str]:
    """The webhook ids that verify a webhook, the previous one last while credentials are being rotated."""
    stored = (account.credentials, account.previous_credentials)
    return [webhook_id for each in stored if (webhook_id := PayPalCredentials.read(each).webhook_id)]
