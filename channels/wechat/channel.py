"""WeChat Pay (微信支付) as a channel of the platform, over APIv3. See docs/CHANNELS.md."""

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, TypeVar

import structlog

from channels.base import (
    LIVE,
    ActionType,
    AmountLimits,
    CancelPayment,
    CapturePayment,
    ChannelAccount,
    ChannelCapabilities,
    ChannelPayment,
    ChannelRefund,
    CompletePayment,
    CreatePayment,
    CreateRefund,
    CredentialCheck,
    Declined,
    IncrementAuthorization,
    InvalidRequest,
    ListingEntry,
    ListingSource,
    ListingWindow,
    NotProcessed,
    PaymentMethod,
    PaymentRef,
    PaymentResult,
    RefundListResult,
    RefundRef,
    RefundResult,
    RefundRules,
    Reported,
    RequestField,
    StatementRequest,
    UnexpectedFormat,
    UnknownOutcome,
    WebhookEvent,
    WebhookRequest,
)
from channels.wechat import config, credential_check, errors, payments, refunds, statements, webhooks
from channels.wechat.client import SignatureProbe, UnverifiedAnswer, WechatApiError, WechatClient
from channels.wechat.config import UnusableCredentials
from channels.wechat.fields import CURRENCY
from common.http_calls import AnswerLost, NotConnected

log = structlog.get_logger(__name__)
R = TypeVar("R", PaymentResult, RefundResult)

# The smallest amount is one fen; the largest depends on the merchant and the customer's bank.
_CURRENCIES = {CURRENCY: AmountLimits(min_minor=1)}
_NO_AUTHORIZATION = Declined("capture_not_supported", "WeChat Pay takes the money at once.")


def _build_method(
    name: str,
    action: ActionType,
    *,
    required_fields: tuple[RequestField, ...] = (),
    required_options: tuple[str, ...] = (),
) -> PaymentMethod:
    return PaymentMethod(
        name,
        action,
        currencies=_CURRENCIES,
        max_seconds_to_pay=payments.MAX_SECONDS_TO_PAY,
        required_fields=required_fields,
        required_options=required_options,
    )


class WechatChannel:
    name = "wechat"
    is_sandbox = False
    disputes = None
    credential_fields = config.CREDENTIAL_FIELDS
    capabilities = ChannelCapabilities(
        methods=(
            _build_method(payments.NATIVE, ActionType.QR_CODE),
            _build_method(payments.JSAPI, ActionType.SDK, required_options=("openid",)),
            _build_method(payments.H5, ActionType.REDIRECT, required_fields=(RequestField.CLIENT_IP,)),
        ),
        # A query reports an order, but not the code for the customer: only a repeated creation returns one.
        idempotency_key_lifetime_seconds=payments.MAX_SECONDS_TO_PAY,
        # pay.weixin.qq.com/doc/v3/merchant/4012556457, notes 1, 4 and 9.
        refunds=RefundRules(window_days=365, max_count=50, min_seconds_between=60),
        is_partial_capture_allowed=False,
        listing=ListingSource.DAILY_STATEMENT,
        has_calls_in_webhooks=True,
        statement_formats=tuple(statements.STATEMENT_FORMATS),
    )

    def get_unavailable_reason(self, environment: str) -> str | None:
        return config.get_unavailable_reason(environment)

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return config.get_platform_credentials(environment)

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        return credential_check.check_credentials(account, timeout_seconds)

    def moves_real_money(self, account: ChannelAccount) -> bool:
        """WeChat Pay has no test mode: an account for test keys moves real money, unless its API is a sandbox."""
        return account.environment == LIVE or config.is_production(config.get_api_base())

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        """Every account that can call can verify: with WeChat Pay's public key, or with platform certificates."""
        return all(
            account.credentials.get(field.name) for field in config.CREDENTIAL_FIELDS if field.is_required
        )

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        return _call(
            request.account,
            request.timeout_seconds,
            lambda client: payments.create_payment(client, request),
        )

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return _call(
            payment.account, payment.timeout_seconds, lambda client: payments.find_payment(client, payment)
        )

    def complete_payment(self, _request: CompletePayment) -> PaymentResult:
        return _NO_AUTHORIZATION

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        payment = request.payment
        return _call(
            payment.account, payment.timeout_seconds, lambda client: payments.cancel_payment(client, request)
        )

    def capture_payment(self, _request: CapturePayment) -> PaymentResult:
        return _NO_AUTHORIZATION

    def increment_authorization(self, _request: IncrementAuthorization) -> PaymentResult:
        return _NO_AUTHORIZATION

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        payment = request.payment
        return _call(
            payment.account, payment.timeout_seconds, lambda client: refunds.create_refund(client, request)
        )

    def find_refund(self, refund: RefundRef) -> RefundResult:
        payment = refund.payment
        return _call(
            payment.account, payment.timeout_seconds, lambda client: refunds.find_refund(client, refund)
        )

    def find_refunds(self, _payment: PaymentRef) -> RefundListResult:
        """Reports none: WeChat Pay has no list of a payment's refunds. Those made in its merchant platform are on the
        statement of their day."""
        return Reported(())

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        return statements.list_payments(window)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        return statements.list_refunds(window)

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        return statements.write_statement(request, target)

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        return webhooks.parse_webhook(account, request)


def _call(account: ChannelAccount, timeout_seconds: float, send: Callable[[WechatClient], R]) -> R:
    """Converts every exception of an operation into a result."""
    try:
        return send(WechatClient(account, timeout_seconds))
    except WechatApiError as error:
        return errors.to_result(error)
    except NotConnected as error:
        return NotProcessed(f"no connection to WeChat Pay: {error}")
    except AnswerLost as error:
        return UnknownOutcome(f"no answer from WeChat Pay: {error}")
    except SignatureProbe as error:
        log.info("wechat.signature_probe_refused", account=account.label)
        return UnknownOutcome(f"WeChat Pay's answer is not verified: {error}", is_channel_fault=False)
    except UnverifiedAnswer as error:
        log.error("wechat.unverified_answer", account=account.label, reason=str(error))
        return UnknownOutcome(f"the answer is not proved to be WeChat Pay's: {error}")
    except UnexpectedFormat as error:
        log.error("wechat.unreadable", account=account.label, reason=str(error))
        return UnknownOutcome(f"WeChat Pay's answer is not understood: {error}")
    except UnusableCredentials as error:
        log.error("wechat.unusable_credentials", account=account.label, field=error.field)
        return InvalidRequest("unusable_credentials", str(error), error.field)
