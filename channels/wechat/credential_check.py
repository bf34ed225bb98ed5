"""Checks the credentials of an account with a query that changes nothing."""

from channels.base import (
    ChannelAccount,
    CredentialCheck,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    UnexpectedFormat,
)
from channels.wechat import errors
from channels.wechat.client import SignatureProbe, UnverifiedAnswer, WechatApiError, WechatClient
from channels.wechat.config import UnusableCredentials
from common.http_calls import AnswerLost

# An order that nobody creates: WeChat Pay answers a signed "not found" when all is right.
UNKNOWN_ORDER = "CREDENTIAL-CHECK"


def check_credentials(account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
    """The answer proves the merchant number, our key with its serial number, and WeChat Pay's key.

    Nothing proves the app id; the APIv3 key is proved only where platform certificates are decrypted with it.
    """
    try:
        client = WechatClient(account, timeout_seconds)
    except UnusableCredentials as error:
        return CredentialsRefused(str(error), error.field)
    merchant_id = client.credentials.merchant_id
    accepted = CredentialsAccepted(f"mchid {merchant_id}")
    try:
        client.get(f"/v3/pay/transactions/out-trade-no/{UNKNOWN_ORDER}", {"mchid": merchant_id})
    except WechatApiError as error:
        return accepted if errors.read_code(error) == "ORDER_NOT_EXIST" else _judge_error(error)
    except SignatureProbe as error:
        return CredentialsUnchecked(str(error))
    except UnverifiedAnswer as error:
        wrong = "public_key" if client.credentials.public_key_id else "api_v3_key"
        return CredentialsRefused(f"WeChat Pay's answer is not verified: {error}", wrong)
    except (AnswerLost, UnexpectedFormat) as error:
        return CredentialsUnchecked(str(error))
    return accepted


def _judge_error(error: WechatApiError) -> CredentialCheck:
    if error.status == 401:
        return CredentialsRefused(
            f"WeChat Pay refuses the signature: {error.message}", "certificate_serial_no"
        )
    if error.status == 429 or error.status >= 500:
        return CredentialsUnchecked(str(error))
    return CredentialsRefused(f"WeChat Pay refuses the merchant number: {error.message}", "mch_id")
