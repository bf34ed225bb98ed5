"""The scenarios of the demo history: what customers, the merchant and the bank do with one payment."""

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass

from channels.base import DisputeState
from demo.shop import DemoShop


@dataclass(frozen=True, slots=True)
class Scenario:
    """`weight`: how often it is chosen. `is_open`: it ends with an open payment or refund, which has just begun.
    `is_large`: the amount is above the limit of dual control."""

    run: Callable[[DemoShop, random.Random], None]
    weight: float
    is_open: bool = False
    is_large: bool = False

    @property
    def name(self) -> str:
        return self.run.__name__


def paid_on_payment_page(shop: DemoShop, rng: random.Random) -> None:
    shop.create(keyed=rng.random() < 0.4)
    shop.pay(after_minutes=rng.uniform(0.5, 12))


def paid_immediately(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay", keyed=rng.random() < 0.4)


def refunded_partially(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay")
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 60)))
    shop.refund(_choose_part(shop, rng), rng.choice(("one item was missing", "损坏的商品")))


def refunded_twice(shop: DemoShop, rng: random.Random) -> None:
    refunded_partially(shop, rng)
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(2, 30)))
    shop.refund(shop.payment.refundable_minor, "the rest as well")


def refunded_fully(shop: DemoShop, rng: random.Random) -> None:
    paid_on_payment_page(shop, rng)
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(4, 90)))
    shop.refund(shop.sale.amount_minor, rng.choice(("customer changed their mind", "顾客取消")))


def declined_by_bank(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("decline")


def declined_for_insufficient_funds(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("insufficient_funds")


def declined_on_payment_page(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("pay_declined")
    shop.pay()


def expired(shop: DemoShop, _rng: random.Random) -> None:
    shop.create()
    shop.let_expire()


def cancelled_by_the_merchant(shop: DemoShop, rng: random.Random) -> None:
    shop.create()
    shop.let_time_pass(dt.timedelta(minutes=rng.uniform(1, 20)))
    shop.cancel("out of stock")


def captured(shop: DemoShop, rng: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 40)))
    shop.capture()


def captured_partially(shop: DemoShop, rng: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 40)))
    shop.capture(_choose_part(shop, rng))


def authorization_released(shop: DemoShop, rng: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 20)))
    shop.cancel("not shipped")


def answer_lost_after_charge(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("timeout_after_charge")


def retried_after_timeouts(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("auto_pay,timeout_before*2")


def retried_after_errors(shop: DemoShop, rng: random.Random) -> None:
    shop.create(rng.choice(("auto_pay,error_5xx*2", "auto_pay,reset*1", "auto_pay,unreachable*2")))


def compensated_when_unreachable(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("unreachable*always")


def compensation_failed(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("timeout_after*always,query:error_5xx*always,cancel:error_5xx*always")


def refund_declined(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay,refund_declined")
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 30)))
    shop.refund(_choose_part(shop, rng), "too old a card")


def refund_failed_later(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay,refund_fails_later:0")
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 30)))
    shop.refund(_choose_part(shop, rng), "account was closed")


def refund_needs_review(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay,refund:error_5xx*always,query_refund:error_5xx*always")
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(1, 30)))
    shop.refund(_choose_part(shop, rng), "wrong size")


def late_payment_refunded(shop: DemoShop, _rng: random.Random) -> None:
    shop.create()
    shop.let_expire()
    shop.pay_late()


def late_payment_needs_review(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("refund_declined")
    shop.let_expire()
    shop.pay_late()


def large_payment(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("auto_pay")


def dispute_lost(shop: DemoShop, rng: random.Random) -> None:
    _dispute(shop, rng, DisputeState.LOST)


def dispute_won(shop: DemoShop, rng: random.Random) -> None:
    _dispute(shop, rng, DisputeState.WON)


def dispute_needs_response(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("auto_pay")
    shop.let_time_pass(dt.timedelta(days=3))
    shop.dispute(DisputeState.NEEDS_RESPONSE, due_in=dt.timedelta(hours=34))


def inquiry_needs_response(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("auto_pay")
    shop.let_time_pass(dt.timedelta(days=2))
    shop.dispute(DisputeState.NEEDS_RESPONSE, due_in=dt.timedelta(days=9), is_inquiry=True)


def webhook_duplicated(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("duplicate_webhook")
    shop.pay()


def webhooks_out_of_order(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("out_of_order_webhook")
    shop.pay()


def open_for_the_customer(shop: DemoShop, _rng: random.Random) -> None:
    shop.create()


def processing_at_the_bank(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("processing:3600")
    shop.pay(after_minutes=1)


def authorized_not_captured(shop: DemoShop, _rng: random.Random) -> None:
    shop.create("authorize", manual=True)


def refund_pending(shop: DemoShop, rng: random.Random) -> None:
    shop.create("auto_pay,refund_pending:7200")
    shop.refund(_choose_part(shop, rng), "on its way")


def _dispute(shop: DemoShop, rng: random.Random, outcome: DisputeState) -> None:
    shop.create("auto_pay")
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(20, 60)))
    shop.dispute(DisputeState.NEEDS_RESPONSE, due_in=dt.timedelta(days=7))
    shop.let_time_pass(dt.timedelta(hours=rng.uniform(5, 40)))
    shop.dispute(outcome)


def _choose_part(shop: DemoShop, rng: random.Random) -> int:
    return max(1, int(shop.sale.amount_minor * rng.uniform(0.1, 0.8)))


SCENARIOS = (
    Scenario(paid_on_payment_page, 34),
    Scenario(paid_immediately, 22),
    Scenario(refunded_partially, 6),
    Scenario(refunded_twice, 2),
    Scenario(refunded_fully, 4),
    Scenario(declined_by_bank, 6),
    Scenario(declined_for_insufficient_funds, 4),
    Scenario(declined_on_payment_page, 3),
    Scenario(expired, 6),
    Scenario(cancelled_by_the_merchant, 4),
    Scenario(captured, 3),
    Scenario(captured_partially, 2),
    Scenario(authorization_released, 1),
    Scenario(answer_lost_after_charge, 2),
    Scenario(retried_after_timeouts, 2),
    Scenario(retried_after_errors, 2),
    Scenario(compensated_when_unreachable, 1),
    Scenario(compensation_failed, 0.8, is_large=True),
    Scenario(refund_declined, 1),
    Scenario(refund_failed_later, 1),
    Scenario(refund_needs_review, 0.5),
    Scenario(late_payment_refunded, 1),
    Scenario(late_payment_needs_review, 0.5),
    Scenario(large_payment, 0.8, is_large=True),
    Scenario(dispute_lost, 0.5),
    Scenario(dispute_won, 0.5),
    Scenario(webhook_duplicated, 1),
    Scenario(webhooks_out_of_order, 1),
    Scenario(open_for_the_customer, 1, is_open=True),
    Scenario(processing_at_the_bank, 0.5, is_open=True),
    Scenario(authorized_not_captured, 0.5, is_open=True),
    Scenario(refund_pending, 0.5, is_open=True),
    Scenario(dispute_needs_response, 0.5, is_open=True),
    Scenario(inquiry_needs_response, 0.5, is_open=True),
)
