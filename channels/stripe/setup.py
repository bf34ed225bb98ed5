"""Checks the setup at Stripe: our API key, and the webhook endpoint that sends us events.

For `manage.py stripe_check` and the start of the gateway. Only reads. Each problem says what to do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import stripe
import structlog
from django.conf import settings

from channels.base import (
    LIVE,
    TEST,
    ChannelAccount,
    CredentialCheck,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
)
from channels.stripe import config, webhooks

log = structlog.get_logger(__name__)

WEBHOOK_PATH = "/api/v1/webhooks/stripe"
CONNECT_WEBHOOK_PATH = "/api/v1/webhooks/stripe/connect"
TIMEOUT_SECONDS = 10.0
PAGE_SIZE = 100
CONNECTED_ACCOUNT_NUMBER = re.compile(r"acct_[A-Za-z0-9]{1,64}")


@dataclass(frozen=True, slots=True)
class SetupFinding:
    text: str
    is_problem: bool = True


def check_setup(environment: str) -> Iterator[SetupFinding]:
    """Checks one environment, `test` or `live`, with a few requests to Stripe."""
    account = ChannelAccount(environment, credentials=config.get_platform_credentials(environment))
    if not account.credentials[config.SECRET_KEY]:
        yield SetupFinding(f"{environment}: not connected (no secret key is set)", is_problem=False)
        return
    api = config.build_client(account, TIMEOUT_SECONDS)
    if not config.get_webhook_secrets(account):
        name = f"STRIPE_{environment.upper()}_WEBHOOK_SECRETS"
        yield SetupFinding(
            f"{environment}: no webhook secret is set, so that every event is refused: set {name}"
        )
    try:
        yield _check_key(api, environment)
        yield from _check_endpoint(api, environment, WEBHOOK_PATH, webhooks.EVENTS)
        if config.get_connect_webhook_secrets(account):
            yield from _check_endpoint(api, environment, CONNECT_WEBHOOK_PATH, webhooks.CONNECT_EVENTS)
    except stripe.AuthenticationError:
        yield SetupFinding(
            f"{environment}: Stripe does not accept the secret key: make a new one in the dashboard"
        )
    except stripe.PermissionError as error:
        yield SetupFinding(
            f"{environment}: the key is restricted and may not read what is checked here: {error.user_message}"
        )
    except stripe.StripeError as error:
        yield SetupFinding(
            f"{environment}: Stripe did not answer ({type(error).__name__}): check again later"
        )


# Each webhook is compared with all of them.
MAX_WEBHOOK_SECRETS = 5


def check_credentials(account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
    """Reads the account's balance: the key must be valid and of the account's mode."""
    if config.get_connected_account(account):
        return _check_connected_account(account, timeout_seconds)
    key = account.credentials.get(config.SECRET_KEY, "")
    if not key.startswith((f"sk_{account.environment}_", f"rk_{account.environment}_")):
        return CredentialsRefused(
            f"The key does not begin with sk_{account.environment}_ or rk_{account.environment}_.",
            config.SECRET_KEY,
        )
    if len(config.get_webhook_secrets(account)) > MAX_WEBHOOK_SECRETS:
        return CredentialsRefused(f"At most {MAX_WEBHOOK_SECRETS} signing secrets.", config.WEBHOOK_SECRETS)
    api = config.build_client(account, timeout_seconds)
    try:
        is_live = api.v1.balance.retrieve().to_dict()["livemode"]
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        return CredentialsRefused(error.user_message or "Stripe refuses the key.", config.SECRET_KEY)
    except stripe.StripeError as error:
        return CredentialsUnchecked(f"Stripe did not answer: {type(error).__name__}")
    if is_live is not (account.environment == LIVE):
        return CredentialsRefused("The key belongs to the other mode of Stripe.", config.SECRET_KEY)
    return CredentialsAccepted()


def _check_connected_account(account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
    """Retrieves the connected account with the platform's key (docs.stripe.com/connect/authentication)."""
    number = config.get_connected_account(account)
    if not CONNECTED_ACCOUNT_NUMBER.fullmatch(number):
        return CredentialsRefused(
            "The number of a connected account begins with acct_.", config.STRIPE_ACCOUNT
        )
    name = f"STRIPE_{account.environment.upper()}_SECRET_KEY"
    if not config.get_secret_key(account):
        return CredentialsRefused(f"{name} is not set: a connected account is served with that key.")
    try:
        found = config.build_client(account, timeout_seconds).v1.accounts.retrieve_current().to_dict()
    except stripe.PermissionError as error:
        return CredentialsRefused(
            error.user_message or "Stripe gives the platform no access to this account.",
            config.STRIPE_ACCOUNT,
        )
    except stripe.AuthenticationError:
        return CredentialsRefused(f"Stripe does not accept {name}.")
    except stripe.StripeError as error:
        return CredentialsUnchecked(f"Stripe did not answer: {type(error).__name__}")
    if found["id"] != number:
        return CredentialsRefused(f"Stripe answered for {found['id']}.", config.STRIPE_ACCOUNT)
    can_charge = "Charges are enabled." if found.get("charges_enabled") else "Charges are not enabled yet."
    if config.get_connect_webhook_secrets(account):
        return CredentialsAccepted(can_charge)
    setting = f"STRIPE_{account.environment.upper()}_CONNECT_WEBHOOK_SECRETS"
    return CredentialsAccepted(f"{can_charge} {setting} is not set, so no webhook about it is accepted.")


def log_setup_problems() -> None:
    """Logs a warning for each problem of both environments. An error of Stripe raises nothing."""
    for environment in (TEST, LIVE):
        for finding in check_setup(environment):
            if finding.is_problem:
                log.warning("stripe.setup_problem", environment=environment, problem=finding.text)


def _check_key(api: stripe.StripeClient, environment: str) -> SetupFinding:
    is_live = api.v1.balance.retrieve().to_dict()["livemode"]
    if is_live is not (environment == LIVE):
        actual = LIVE if is_live else TEST
        return SetupFinding(f"{environment}: the secret key is of Stripe's {actual} mode: exchange the keys")
    return SetupFinding(f"{environment}: the secret key is valid", is_problem=False)


def _check_endpoint(
    api: stripe.StripeClient, environment: str, path: str, events: Sequence[str]
) -> Iterator[SetupFinding]:
    url = f"{settings.PUBLIC_BASE_URL}{path}"
    listed = api.v1.webhook_endpoints.list({"limit": PAGE_SIZE}).auto_paging_iter()
    ours = [endpoint for endpoint in (each.to_dict() for each in listed) if endpoint["url"] == url]
    enabled = [endpoint for endpoint in ours if endpoint["status"] == "enabled"]
    if not enabled:
        what = "is disabled" if ours else "does not exist"
        yield SetupFinding(
            f"{environment}: the webhook endpoint {url} {what}: create or enable it in the dashboard"
        )
        return
    if len(enabled) > 1:
        yield SetupFinding(
            f"{environment}: {len(enabled)} webhook endpoints have the address {url}: keep one"
        )
    for endpoint in enabled:
        yield from _check_subscription(endpoint, environment, events)


def _check_subscription(
    endpoint: dict[str, object], environment: str, events: Sequence[str]
) -> Iterator[SetupFinding]:
    enabled = endpoint["enabled_events"]
    assert isinstance(enabled, list)
    missing = [] if "*" in enabled else sorted(set(events) - set(enabled))
    if missing:
        yield SetupFinding(
            f"{environment}: the webhook endpoint {endpoint['id']} does not send {', '.join(missing)}: add them"
        )
    version = endpoint.get("api_version")
    if version != config.API_VERSION:
        sends = f"version {version}" if version else "the account's default version"
        yield SetupFinding(
            f"{environment}: the webhook endpoint {endpoint['id']} sends {sends} of the API, and {config.API_VERSION} "
            "is read: create it anew with that version"
        )
    elif not missing:
        yield SetupFinding(
            f"{environment}: the webhook endpoint {endpoint['id']} sends what is needed", is_problem=False
        )
