"""Checks an account's credentials: a new access token proves the app, a read of the webhook its id."""

from channels.base import (
    ChannelAccount,
    CredentialCheck,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
)
from channels.paypal.client import PayPalClient
from channels.paypal.config import PayPalCredentials, get_api_base
from channels.paypal.errors import FAILURES, CredentialsRejected, PayPalError
from channels.paypal.tokens import request_token
from common.deadlines import Deadline

WEBHOOKS = "/v1/notifications/webhooks"


def check_credentials(account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
    credentials = PayPalCredentials.read(account.credentials)
    webhook_id = credentials.webhook_id
    if webhook_id and not (webhook_id.isascii() and webhook_id.isalnum()):
        return CredentialsRefused("A webhook id has letters and digits alone.", "webhook_id")
    try:
        request_token(get_api_base(account.environment), credentials, Deadline(timeout_seconds))
        if webhook_id:
            PayPalClient(account, timeout_seconds).get(f"{WEBHOOKS}/{webhook_id}")
    except CredentialsRejected:
        # PayPal does not say which of the two is wrong, or that they are those of the other environment.
        return CredentialsRefused(
            f"PayPal refuses the client id or the secret for {account.environment}.", "client_secret"
        )
    except PayPalError as error:
        if error.status == 404:
            return CredentialsRefused("The app has no webhook with this id.", "webhook_id")
        if error.status == 403:
            return CredentialsAccepted()
        return CredentialsUnchecked(str(error))
    except FAILURES as error:
        return CredentialsUnchecked(str(error))
    return CredentialsAccepted()
