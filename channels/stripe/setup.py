"""Whether Stripe is set up for us: our key, and the webhook endpoint that must send us events.

For `manage.py stripe_check` and the start of the gateway. Only reads, and says what to do about each problem.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import stripe
import structlog
from django.conf import settings

from channels.base import LIVE, TEST
from channels.stripe import config, webhooks

log = structlog.get_logger(__name__)

WEBHOOK_PATH = "/api/v1/webhooks/stripe"
TIMEOUT_SECONDS = 10.0
PAGE = 100


@dataclass(frozen=True, slots=True)
class Finding:
    text: str
    is_problem: bool = True


def findings(environment: str) -> Iterator[Finding]:
    """What was found for `test` or `live`, one by one. Asks Stripe up to three things."""
    if not config.secret_key(environment):
        yield Finding(f"{environment}: not connected (no secret key is set)", is_problem=False)
        return
    api = config.client(environment, TIMEOUT_SECONDS)
    if not config.webhook_secrets(environment):
        name = f"STRIPE_{environment.upper()}_WEBHOOK_SECRETS"
        yield Finding(f"{environment}: no webhook secret is set, so that every event is refused: set {name}")
    try:
        yield _key(api, environment)
        yield from _endpoint(api, environment)
    except stripe.AuthenticationError:
        yield Finding(
            f"{environment}: Stripe does not accept the secret key: make a new one in the dashboard"
        )
    except stripe.PermissionError as error:
        yield Finding(
            f"{environment}: the key is restricted and may not read what is checked here: {error.user_message}"
        )
    except stripe.StripeError as error:
        yield Finding(f"{environment}: Stripe did not answer ({type(error).__name__}): check again later")


def warn_of_problems() -> None:
    """Logs a warning for each problem. Never raises because of Stripe."""
    for environment in (TEST, LIVE):
        for finding in findings(environment):
            if finding.is_problem:
                log.warning("stripe.setup_problem", environment=environment, problem=finding.text)


def _key(api: stripe.StripeClient, environment: str) -> Finding:
    is_live = api.v1.balance.retrieve().to_dict()["livemode"]
    if is_live is not (environment == LIVE):
        actual = LIVE if is_live else TEST
        return Finding(f"{environment}: the secret key is of Stripe's {actual} mode: exchange the keys")
    return Finding(f"{environment}: the secret key is valid", is_problem=False)


def _endpoint(api: stripe.StripeClient, environment: str) -> Iterator[Finding]:
    url = f"{settings.PUBLIC_BASE_URL}{WEBHOOK_PATH}"
    listed = api.v1.webhook_endpoints.list({"limit": PAGE}).auto_paging_iter()
    ours = [shape for shape in (each.to_dict() for each in listed) if shape["url"] == url]
    enabled = [shape for shape in ours if shape["status"] == "enabled"]
    if not enabled:
        what = "is disabled" if ours else "does not exist"
        yield Finding(
            f"{environment}: the webhook endpoint {url} {what}: create or enable it in the dashboard"
        )
        return
    if len(enabled) > 1:
        yield Finding(f"{environment}: {len(enabled)} webhook endpoints have the address {url}: keep one")
    for shape in enabled:
        yield from _subscription(shape, environment)


def _subscription(shape: dict[str, object], environment: str) -> Iterator[Finding]:
    events = shape["enabled_events"]
    assert isinstance(events, list)
    missing = [] if "*" in events else sorted(set(webhooks.EVENTS) - set(events))
    if missing:
        yield Finding(
            f"{environment}: the webhook endpoint {shape['id']} does not send {', '.join(missing)}: add them"
        )
    version = shape.get("api_version")
    if version != config.API_VERSION:
        sends = f"version {version}" if version else "the account's default version"
        yield Finding(
            f"{environment}: the webhook endpoint {shape['id']} sends {sends} of the API, and {config.API_VERSION} is "
            "read: create it anew with that version"
        )
    elif not missing:
        yield Finding(
            f"{environment}: the webhook endpoint {shape['id']} sends what is needed", is_problem=False
        )
