"""Alipay (支付宝) as a channel of the platform. See docs/CHANNELS.md."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, TypeVar

import structlog

from channels.alipay import amounts, config, errors, payments, refunds, statements, trades, webhooks
from channels.alipay.config import WrongCredential
from channels.alipay.fields import from_alipay_number
from channels.alipay.gateway import Gateway, NotVerified
from channels.alipay.statement_reader import PAYMENT, REFUND
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
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    IncrementAuthorization,
    InvalidRequest,
    ListingEntry,
    ListingFailed,
    ListingSource,
    ListingWindow,
    NotProcessed,
    PaymentMethod,
    PaymentRef,
    PaymentResult,
    PaymentState,
    RefundListResult,
    RefundRef,
    RefundResult,
    RefundRules,
    RefundState,
    Reported,
    StatementRequest,
    UnexpectedFormat,
    UnknownOutcome,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from common.http_calls import AnswerLost, NotConnected

log = structlog.get_logger(__name__)
R = TypeVar("R", PaymentResult, RefundResult, RefundListResult)

_CURRENCIES = {amounts.CURRENCY: AmountLimits(amounts.MIN_MINOR, amounts.MAX_MINOR)}
_CAPTURES_AT_ONCE = InvalidRequest("capture_not_supported", "Alipay takes the money when the customer pays.")


class AlipayChannel:
    name = "alipay"
    is_sandbox = False
    disputes = None
    credential_fields = config.CREDENTIAL_FIELDS
    capabilities = ChannelCapabilities(
        methods=(
            PaymentMethod(
                payments.PAGE, ActionType.FORM, _CURRENCIES, max_seconds_to_pay=payments.MAX_PAGE_SECONDS
            ),
            PaymentMethod(
                payments.WAP, ActionType.FORM, _CURRENCIES, max_seconds_to_pay=payments.MAX_PAGE_SECONDS
            ),
            PaymentMethod(
                payments.QR_CODE, ActionType.QR_CODE, _CURRENCIES, max_seconds_to_pay=payments.MAX_QR_SECONDS
            ),
        ),
        # A page is signed again, and a code requested again, as long as the payment lives: a query says nothing before
        # the customer has acted.
        idempotency_key_lifetime_seconds=payments.MAX_PAGE_SECONDS,
        statement_formats=("alipay_trades",),
        # "The time that the contract allows": 12 months for pages, 3 for QR codes (docs.open.alipay.com/api_1/
        # alipay.trade.refund). Alipay refuses later ones itself. It wants at least three seconds between two refunds of
        # a trade (opendocs.alipay.com/open/6c0cdd7d_alipay.trade.refund).
        refunds=RefundRules(window_days=365, min_seconds_between=3),
        is_partial_capture_allowed=False,
        listing=ListingSource.DAILY_STATEMENT,
    )

    def get_unavailable_reason(self, environment: str) -> str | None:
        missing = config.find_missing_setting(environment)
        return f"{missing} is not set." if missing else None

    def get_platform_credentials(self, environment: str) -> Mapping[str, str]:
        return config.get_platform_credentials(environment)

    def check_credentials(self, account: ChannelAccount, timeout_seconds: float) -> CredentialCheck:
        """Queries a trade that cannot exist. The seller's number is not checked by it: notices are checked for it."""
        try:
            gateway = Gateway(config.read_credentials(account), timeout_seconds)
            answer = gateway.call(trades.QUERY, {"out_trade_no": f"CHECK_{secrets.token_hex(8)}"})
        except WrongCredential as error:
            return CredentialsRefused(str(error), error.field)
        except NotVerified as error:
            return errors.describe_unverified_check(error.answer)
        except (AnswerLost, UnexpectedFormat) as error:
            return CredentialsUnchecked(str(error))
        if answer.sub_code == errors.TRADE_NOT_EXIST:
            return CredentialsAccepted(f"Alipay knows the application {account.credentials['app_id']}.")
        return errors.describe_refused_check(answer)

    def moves_real_money(self, account: ChannelAccount) -> bool:
        return account.environment == LIVE or config.is_production(
            config.get_gateway_url(account.environment)
        )

    def can_receive_webhooks(self, account: ChannelAccount) -> bool:
        return bool(account.credentials.get("alipay_public_key") and account.credentials.get("app_id"))

    def create_payment(self, request: CreatePayment) -> PaymentResult:
        return _call(
            request.account,
            request.timeout_seconds,
            lambda gateway: payments.create_payment(gateway, request),
        )

    def find_payment(self, payment: PaymentRef) -> PaymentResult:
        return _call(
            payment.account, payment.timeout_seconds, lambda gateway: trades.find_trade(gateway, payment)
        )

    def complete_payment(self, request: CompletePayment) -> PaymentResult:
        return _CAPTURES_AT_ONCE

    def cancel_payment(self, request: CancelPayment) -> PaymentResult:
        return _call_for(request.payment, lambda gateway: payments.cancel_payment(gateway, request))

    def capture_payment(self, request: CapturePayment) -> PaymentResult:
        return _CAPTURES_AT_ONCE

    def increment_authorization(self, request: IncrementAuthorization) -> PaymentResult:
        return _CAPTURES_AT_ONCE

    def refund_payment(self, request: CreateRefund) -> RefundResult:
        return _call_for(request.payment, lambda gateway: refunds.create_refund(gateway, request))

    def find_refund(self, refund: RefundRef) -> RefundResult:
        return _call_for(refund.payment, lambda gateway: refunds.find_refund(gateway, refund))

    def find_refunds(self, payment: PaymentRef) -> RefundListResult:
        """Alipay lists no refunds of a trade: those made in its console come by notice and in the statement."""
        return Reported(())

    def list_payments(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelPayment]]:
        for row in _read_statements(window, PAYMENT):
            payment = ChannelPayment(
                reference=from_alipay_number(row.out_trade_no),
                channel_trade_no=row.trade_no,
                state=PaymentState.PAID,
                amount_minor=row.amount_minor,
                currency=amounts.CURRENCY,
                captured_minor=row.amount_minor,
            )
            yield ListingEntry(payment, row.completed_at)

    def list_refunds(self, window: ListingWindow) -> Iterator[ListingEntry[ChannelRefund]]:
        for row in _read_statements(window, REFUND):
            request_no = row.request_no or row.out_trade_no
            refund = ChannelRefund(
                reference=refunds.read_our_number(request_no),
                channel_refund_no=refunds.build_refund_no(row.trade_no, request_no),
                state=RefundState.SUCCEEDED,
                amount_minor=row.amount_minor,
                currency=amounts.CURRENCY,
                environment=window.account.environment,
                payment_reference=from_alipay_number(row.out_trade_no),
                payment_trade_no=row.trade_no,
            )
            yield ListingEntry(refund, row.completed_at)

    def write_statement(self, request: StatementRequest, target: BinaryIO) -> bool:
        try:
            gateway = Gateway(config.read_credentials(request.account), request.timeout_seconds)
            zipped = statements.download_file(gateway, request.day)
        except (
            AnswerLost,
            NotVerified,
            statements.StatementMissing,
            UnexpectedFormat,
            WrongCredential,
        ) as error:
            raise ListingFailed(f"Alipay's statement was not read: {error}") from error
        if zipped is None:
            return False
        target.write(zipped)
        return True

    def parse_webhook(self, account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
        try:
            credentials = config.read_credentials(account)
        except WrongCredential as error:
            raise WebhookRefused(str(error)) from error
        return webhooks.parse_notice(credentials, account.environment, request.body)


def _read_statements(window: ListingWindow, kind: str) -> Iterator[statements.StatementRow]:
    """Reads the statements of all days of the window. Raises `ListingFailed`."""
    try:
        credentials = config.read_credentials(window.account)
        for day in statements.list_days(window.since, window.until):
            gateway = Gateway(credentials, window.timeout_seconds)
            for row in statements.download_statement(gateway, day):
                if row.kind == kind and window.since <= row.completed_at < window.until:
                    yield row
    except (AnswerLost, NotVerified, statements.StatementMissing, UnexpectedFormat, WrongCredential) as error:
        raise ListingFailed(f"Alipay's statements were not read completely: {error}") from error


def _call_for(payment: PaymentRef, send: Callable[[Gateway], R]) -> R:
    return _call(payment.account, payment.timeout_seconds, send)


def _call(account: ChannelAccount, timeout_seconds: float, send: Callable[[Gateway], R]) -> R:
    """Converts every exception of an operation into a result."""
    try:
        gateway = Gateway(config.read_credentials(account), timeout_seconds)
    except WrongCredential as error:
        log.error("alipay.wrong_credential", field=error.field, reason=error.message)
        return NotProcessed(f"the account's credentials are wrong: {error}", is_channel_fault=False)
    try:
        result = send(gateway)
    except NotConnected as error:
        result = NotProcessed(f"no connection to Alipay: {error}")
    except AnswerLost as error:
        return UnknownOutcome(f"no answer from Alipay: {error}")
    except UnexpectedFormat as error:
        log.error("alipay.unreadable", reason=str(error))
        return UnknownOutcome(f"Alipay's answer is not understood: {error}")
    except NotVerified as error:
        log.error("alipay.not_verified", code=error.answer.code, sub_code=error.answer.sub_code)
        return UnknownOutcome(str(error))
    if isinstance(result, NotProcessed) and gateway.call_count > 1:
        # Only the last of several calls was not processed: an earlier one may have had an effect.
        return UnknownOutcome(result.reason, is_channel_fault=result.is_channel_fault)
    return result
