"""Customers, PayPal and the merchant's staff on paypal.com, in random schedules."""

import random
from decimal import Decimal

from tests.channels.random_books.channel_books import Movement
from tests.support.paypal import disputes
from tests.support.paypal.fake import FakePayPal

# The times of PayPal's orders are whole seconds: what happens in different steps happens in different seconds.
SECONDS_BETWEEN_STEPS = 2


def act_on_dispute(fake: FakePayPal, dice: random.Random, payments: list[Movement]) -> None:
    """A customer opens a dispute, or one of them goes on. `payments` are the captures that belong to the schedule."""
    fake.advance_clock(SECONDS_BETWEEN_STEPS)
    captures = [each.channel_no for each in payments]
    ours = [each for each in fake.account.disputes.values() if disputes.get_capture_id(each) in captures]
    disputed = {disputes.get_capture_id(each) for each in ours}
    fresh = [each for each in captures if each not in disputed]
    waiting = [each for each in ours if each["status"] != "RESOLVED"]
    if waiting and dice.random() < 0.6:
        _move_on(fake, dice, dice.choice(waiting)["dispute_id"])
    elif fresh:
        capture_id = dice.choice(fresh)
        whole = Decimal(fake.account.captures[capture_id]["amount"]["value"])
        value = dice.choice((whole, (whole / 2).quantize(Decimal("0.01"))))
        disputes.open_dispute(
            fake.account, capture_id, str(value), stage=dice.choice(("INQUIRY", "CHARGEBACK"))
        )
    fake.advance_clock(SECONDS_BETWEEN_STEPS)


def _move_on(fake: FakePayPal, dice: random.Random, dispute_id: str) -> None:
    account, dispute = fake.account, fake.account.disputes[dispute_id]
    if dispute["dispute_life_cycle_stage"] != "INQUIRY":
        outcomes = ("RESOLVED_BUYER_FAVOUR", "RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT")
        disputes.resolve_dispute(account, dispute_id, dice.choice(outcomes))
        return
    choice, left = dice.randrange(3), account.get_refundable(disputes.get_capture_id(dispute))
    offer = min(left, Decimal(dispute["dispute_amount"]["value"]) / 2).quantize(Decimal("0.01"))
    if choice == 0:
        disputes.resolve_dispute(account, dispute_id, "CANCELED_BY_BUYER")
    elif choice == 1 and 0 < offer < left:
        disputes.accept_offer(account, dispute_id, str(offer))
    else:
        disputes.change_dispute(
            account,
            dispute_id,
            status="WAITING_FOR_SELLER_RESPONSE",
            dispute_life_cycle_stage="CHARGEBACK",
        )


def refund_on_the_page(fake: FakePayPal, dice: random.Random, payments: list[Movement]) -> None:
    """Staff refund a part or all of what is left, also while a dispute is open: a full refund closes it."""
    fake.advance_clock(SECONDS_BETWEEN_STEPS)
    capture_id = dice.choice(payments).channel_no
    left = fake.account.get_refundable(capture_id)
    value = dice.choice((left, (left / 3).quantize(Decimal("0.01"))))
    if value > 0:
        fake.refund_in_dashboard(capture_id, str(value))
    fake.advance_clock(SECONDS_BETWEEN_STEPS)
