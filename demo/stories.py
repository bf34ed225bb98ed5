"""What can happen to a payment, as the demo history tells it: each story is what people and banks did."""

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass

from demo.shop import Shop


@dataclass(frozen=True, slots=True)
class Story:
    """`weight` is how often it happens beside the others; one that `stays_open` has only just begun."""

    tell: Callable[[Shop, random.Random], None]
    weight: float
    stays_open: bool = False
    is_dear: bool = False

    @property
    def name(self) -> str:
        return self.tell.__name__


def paid_on_the_page(shop: Shop, chance: random.Random) -> None:
    shop.create(keyed=chance.random() < 0.4)
    shop.pays(after_minutes=chance.uniform(0.5, 12))


def paid_at_once(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay", keyed=chance.random() < 0.4)


def refunded_in_part(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay")
    shop.waits(dt.timedelta(hours=chance.uniform(1, 60)))
    shop.refunds(_part(shop, chance), chance.choice(("one item was missing", "损坏的商品")))


def refunded_twice(shop: Shop, chance: random.Random) -> None:
    refunded_in_part(shop, chance)
    shop.waits(dt.timedelta(hours=chance.uniform(2, 30)))
    shop.refunds(shop.payment.refundable_minor, "the rest as well")


def refunded_in_full(shop: Shop, chance: random.Random) -> None:
    paid_on_the_page(shop, chance)
    shop.waits(dt.timedelta(hours=chance.uniform(4, 90)))
    shop.refunds(shop.sale.amount_minor, chance.choice(("customer changed their mind", "客户取消")))


def declined_by_the_bank(shop: Shop, _chance: random.Random) -> None:
    shop.create("decline")


def without_funds(shop: Shop, _chance: random.Random) -> None:
    shop.create("insufficient_funds")


def declined_on_the_page(shop: Shop, _chance: random.Random) -> None:
    shop.create("pay_declined")
    shop.pays()


def left_by_the_customer(shop: Shop, _chance: random.Random) -> None:
    shop.create()
    shop.lets_it_expire()


def cancelled_by_the_shop(shop: Shop, chance: random.Random) -> None:
    shop.create()
    shop.waits(dt.timedelta(minutes=chance.uniform(1, 20)))
    shop.cancels("out of stock")


def captured(shop: Shop, chance: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.waits(dt.timedelta(hours=chance.uniform(1, 40)))
    shop.captures()


def captured_in_part(shop: Shop, chance: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.waits(dt.timedelta(hours=chance.uniform(1, 40)))
    shop.captures(_part(shop, chance))


def released(shop: Shop, chance: random.Random) -> None:
    shop.create("authorize", manual=True)
    shop.waits(dt.timedelta(hours=chance.uniform(1, 20)))
    shop.cancels("not shipped")


def answer_lost_after_the_charge(shop: Shop, _chance: random.Random) -> None:
    shop.create("timeout_after_charge")


def retried_after_timeouts(shop: Shop, _chance: random.Random) -> None:
    shop.create("auto_pay,timeout_before*2")


def retried_after_errors(shop: Shop, chance: random.Random) -> None:
    shop.create(chance.choice(("auto_pay,error_5xx*2", "auto_pay,reset*1", "auto_pay,unreachable*2")))


def given_up_and_undone(shop: Shop, _chance: random.Random) -> None:
    shop.create("unreachable*always")


def undoing_failed(shop: Shop, _chance: random.Random) -> None:
    shop.create("timeout_after*always,query:error_5xx*always,cancel:error_5xx*always")


def refund_declined(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay,refund_declined")
    shop.waits(dt.timedelta(hours=chance.uniform(1, 30)))
    shop.refunds(_part(shop, chance), "too old a card")


def refund_failed_later(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay,refund_fails_later:0")
    shop.waits(dt.timedelta(hours=chance.uniform(1, 30)))
    shop.refunds(_part(shop, chance), "account was closed")


def refund_needs_a_person(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay,refund:error_5xx*always,query_refund:error_5xx*always")
    shop.waits(dt.timedelta(hours=chance.uniform(1, 30)))
    shop.refunds(_part(shop, chance), "wrong size")


def paid_too_late(shop: Shop, _chance: random.Random) -> None:
    shop.create()
    shop.lets_it_expire()
    shop.pays_too_late()


def late_money_that_could_not_go_back(shop: Shop, _chance: random.Random) -> None:
    shop.create("refund_declined")
    shop.lets_it_expire()
    shop.pays_too_late()


def paid_dearly(shop: Shop, _chance: random.Random) -> None:
    shop.create("auto_pay")


def told_twice(shop: Shop, _chance: random.Random) -> None:
    shop.create("duplicate_webhook")
    shop.pays()


def told_out_of_order(shop: Shop, _chance: random.Random) -> None:
    shop.create("out_of_order_webhook")
    shop.pays()


def waits_for_its_customer(shop: Shop, _chance: random.Random) -> None:
    shop.create()


def waits_for_the_bank(shop: Shop, _chance: random.Random) -> None:
    shop.create("processing:3600")
    shop.pays(after_minutes=1)


def waits_to_be_captured(shop: Shop, _chance: random.Random) -> None:
    shop.create("authorize", manual=True)


def waits_for_its_refund(shop: Shop, chance: random.Random) -> None:
    shop.create("auto_pay,refund_pending:7200")
    shop.refunds(_part(shop, chance), "on its way")


def _part(shop: Shop, chance: random.Random) -> int:
    return max(1, int(shop.sale.amount_minor * chance.uniform(0.1, 0.8)))


STORIES = (
    Story(paid_on_the_page, 34),
    Story(paid_at_once, 22),
    Story(refunded_in_part, 6),
    Story(refunded_twice, 2),
    Story(refunded_in_full, 4),
    Story(declined_by_the_bank, 6),
    Story(without_funds, 4),
    Story(declined_on_the_page, 3),
    Story(left_by_the_customer, 6),
    Story(cancelled_by_the_shop, 4),
    Story(captured, 3),
    Story(captured_in_part, 2),
    Story(released, 1),
    Story(answer_lost_after_the_charge, 2),
    Story(retried_after_timeouts, 2),
    Story(retried_after_errors, 2),
    Story(given_up_and_undone, 1),
    Story(undoing_failed, 0.8, is_dear=True),
    Story(refund_declined, 1),
    Story(refund_failed_later, 1),
    Story(refund_needs_a_person, 0.5),
    Story(paid_too_late, 1),
    Story(late_money_that_could_not_go_back, 0.5),
    Story(paid_dearly, 0.8, is_dear=True),
    Story(told_twice, 1),
    Story(told_out_of_order, 1),
    Story(waits_for_its_customer, 1, stays_open=True),
    Story(waits_for_the_bank, 0.5, stays_open=True),
    Story(waits_to_be_captured, 0.5, stays_open=True),
    Story(waits_for_its_refund, 0.5, stays_open=True),
)
