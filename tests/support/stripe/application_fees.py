"""The fees that a platform takes of the payments of its connected accounts (docs.stripe.com/connect/direct-charges)."""

from tests.support.stripe.account import StripeAccount
from tests.support.stripe.messages import InvalidParameter
from tests.support.stripe.specification import JsonObject

PARAM = "application_fee_amount"


def require_allowed(account: StripeAccount, params: JsonObject, amount: int) -> None:
    """#collect-fees: positive, less than the amount, and only of an account that is connected to the platform's."""
    fee = params.get(PARAM)
    if fee is None:
        return
    if not account.application:
        raise InvalidParameter(
            "Only a direct charge on a connected account has an application fee.", param=PARAM
        )
    if not 0 < fee < amount:
        raise InvalidParameter("The application fee must be positive and less than the amount.", param=PARAM)


def collect(account: StripeAccount, intent: JsonObject, charge: JsonObject, captured: int) -> None:
    """docs.stripe.com/api/payment_intents/object: the fee is capped at what was captured."""
    if not intent[PARAM]:
        return
    fee = account.create_object(
        "application_fee",
        "fee",
        account=account.number,
        amount=min(intent[PARAM], captured),
        amount_refunded=0,
        application=account.application,
        charge=charge["id"],
        currency=intent["currency"],
        livemode=False,
        refunded=False,
        refunds={"object": "list", "data": [], "has_more": False, "url": "/v1/application_fees/refunds"},
    )
    account.application_fees[fee["id"]] = fee
    account.update_object(charge, application_fee=fee["id"], application_fee_amount=fee["amount"])


def give_back(account: StripeAccount, charge: JsonObject, refunded: int, captured: int) -> None:
    """docs.stripe.com/api/refunds/create, `refund_application_fee`: the fee goes back in proportion to the charge, with
    the whole charge all of it. That a charge without a fee is refused is not documented: the strict reading."""
    if not charge["application_fee"]:
        raise InvalidParameter("There is no application fee to refund.", param="refund_application_fee")
    fee = account.application_fees[charge["application_fee"]]
    is_whole = charge["amount_refunded"] + refunded == captured
    left = fee["amount"] - fee["amount_refunded"]
    part = left if is_whole else min(left, fee["amount"] * refunded // captured)
    given_back = fee["amount_refunded"] + part
    account.update_object(fee, amount_refunded=given_back, refunded=given_back == fee["amount"])
