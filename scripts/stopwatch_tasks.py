"""The twelve tasks of `scripts/stopwatch.py`: who does them, on which object of the demo month, and by which presses.

`before` is what the task took before the search, the work queue and the tools of lists, counted by the same rules from
the templates and admin classes of revision e805cd4 (docs/BACKOFFICE.md).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from scripts.local.config import Stack

Facts = dict[str, str]
_PAID = (
    "SELECT order_no, payment_no FROM payments WHERE status = 'succeeded' AND refunded_minor = 0"
    " AND refund_pending_minor = 0 AND disputed_minor = 0 AND NOT needs_attention AND currency = 'USD'"
    " AND captured_minor BETWEEN 2000 AND 90000 AND right(order_no, 1) >= '5' ORDER BY created_at DESC LIMIT 1"
)
_STUCK = (
    "SELECT payment.order_no, saga.attention_reason FROM saga_instances AS saga"
    " JOIN payments AS payment ON payment.payment_no = saga.business_id WHERE saga.needs_attention"
    " ORDER BY payment.created_at, saga.created_at DESC LIMIT 1"
)
_APPROVED = (
    "SELECT refund.refund_no, approval.decided_by FROM approvals AS approval JOIN refunds AS refund"
    " ON refund.id = approval.saga_id WHERE approval.operation = 'refund' AND approval.state = 'approved' LIMIT 1"
)
_DELIVERED = (
    "SELECT payment.order_no FROM webhook_deliveries AS delivery JOIN outbox_events AS event"
    " ON event.id = delivery.event_id JOIN payments AS payment ON payment.payment_no = event.ordering_key"
    " JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.endpoint_id"
    " WHERE endpoint.status = 'enabled' AND endpoint.kind = 'registered' ORDER BY delivery.created_at DESC LIMIT 1"
)
_AMOUNT = (
    "SELECT (amount_minor / 100.0)::numeric(12, 2)::text, payment_no FROM payments WHERE currency = 'USD'"
    " AND amount_minor = (SELECT amount_minor FROM payments WHERE currency = 'USD' GROUP BY 1 HAVING count(*) = 1"
    " ORDER BY 1 LIMIT 1)"
)
_PENDING = "SELECT business_id FROM approvals WHERE operation = 'refund' AND state = 'pending' LIMIT 1"


@dataclass(frozen=True, slots=True)
class Task:
    """`query` names the object; its columns are the arguments of `perform`."""

    title: str
    role: str
    before: str
    perform: Callable[[Any, Sequence[str]], None]
    query: str = "SELECT 1"

    def prepare(self, stack: Stack) -> Sequence[str]:
        server = stack.database
        with psycopg.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            dbname=server.name,
        ) as connection:
            row = connection.execute(self.query).fetchone()
        assert row is not None, f"the demo month has nothing for: {self.title}"
        return row


def find_by_the_beginning_of_an_order_number(hand: Any, facts: Sequence[str]) -> None:
    order_no, _payment_no = facts
    hand.search(order_no[: len(order_no) - 1])
    hand.click(f"[role=listbox] a[role=option]:has-text('{order_no}')")
    hand.is_there("/payment/.*/change/")


def refund_part(hand: Any, facts: Sequence[str]) -> None:
    order_no, _payment_no = facts
    _find(hand, order_no, "/payment/.*/change/")
    hand.click("[data-dialog=refund-dialog]")
    hand.page.locator("#refund-dialog input[name$=amount]:focus").wait_for()
    hand.type("5.00")
    hand.press("Tab")
    hand.type("one bag was torn")
    hand.press("Enter")
    hand.sees("5.00 USD")


def say_why_a_payment_is_stuck(hand: Any, facts: Sequence[str]) -> None:
    order_no, reason = facts
    _find(hand, order_no, "/payment/.*/change/")
    hand.sees(reason[:30])


def say_who_approved_a_refund(hand: Any, facts: Sequence[str]) -> None:
    refund_no, approver = facts
    _find(hand, refund_no, "/refund/.*/change/")
    hand.sees(f"^{approver}")


def resend_a_webhook(hand: Any, facts: Sequence[str]) -> None:
    (order_no,) = facts
    _find(hand, order_no, "/payment/.*/change/")
    hand.click(".office-head a[href*='/webhookdelivery/']")
    hand.page.wait_for_url("**/webhookdelivery/**")
    hand.click("[data-dialog=resend-dialog]")
    hand.page.locator("#resend-dialog :focus").wait_for()
    hand.type("their server was down")
    hand.press("Enter")
    hand.page.wait_for_load_state("networkidle")


def export_last_week_in_shanghai(hand: Any, _facts: Sequence[str]) -> None:
    hand.click("a[href='/admin/gateway/payment/']")
    hand.page.wait_for_url("**/gateway/payment/**")
    hand.click(".office-ranges a:has-text('7 days')")
    hand.is_there("created_from=")
    hand.click(".office-menu:has(.office-export) summary")
    hand.page.locator("input[name=reason]:focus").wait_for()
    hand.type("week for the accountant")
    hand.press("Tab")
    hand.type("Asia/Shanghai")
    with hand.page.expect_download():
        hand.press("Enter")


def take_note_and_snooze_an_item(hand: Any, _facts: Sequence[str]) -> None:
    hand.click("a[href='/admin/queue/']")
    hand.is_there("/queue/")
    hand.click(".office-queue-item:nth-child(3) button[name=take]")
    hand.sees("Assigned to operator")
    hand.click(".office-queue-item:nth-child(3) input[name=item]")
    hand.click("input[name=note]")
    hand.type("asked the bank, they call back tomorrow")
    hand.click("button[value=snooze]")
    hand.sees("Snoozed: 1")


def approve_as_second_person(hand: Any, facts: Sequence[str]) -> None:
    (number,) = facts
    hand.click("a[href='/admin/queue/']")
    hand.click(f".office-queue-item:has-text('{number}'):has-text('Approval') .office-queue-action a")
    hand.is_there("/approval/.*/change/|/payment/.*/change/")
    hand.click("[data-dialog=approve-dialog]")
    hand.click("#approve-dialog button[type=submit]")
    hand.page.wait_for_load_state("networkidle")


def find_by_amount(hand: Any, facts: Sequence[str]) -> None:
    amount, payment_no = facts
    hand.search(f"USD {amount}")
    hand.click(f"[role=listbox] a[role=option]:has-text('{payment_no}')")
    hand.is_there("/payment/.*/change/")


def see_a_balance(hand: Any, _facts: Sequence[str]) -> None:
    hand.search("coffee@demo.example")
    hand.press("Enter")
    hand.is_there("/merchant/.*/change/")
    hand.sees("Balance")


def see_until_when_a_dispute_is_answered(hand: Any, _facts: Sequence[str]) -> None:
    hand.click("a[href='/admin/queue/']")
    hand.click(".office-queue-item:has-text('due in') .office-queue-what a")
    hand.is_there("/dispute/.*/change/")
    hand.sees("Evidence is due by")


def see_whether_a_channel_is_down(hand: Any, _facts: Sequence[str]) -> None:
    hand.is_there("/admin/$")
    hand.sees("^By channel$")


def _find(hand: Any, number: str, address: str) -> None:
    hand.search(number)
    hand.press("Enter")
    hand.is_there(address)


TASKS: Final = (
    Task(
        "Find a payment by the beginning of its order number",
        "support",
        "not possible",
        find_by_the_beginning_of_an_order_number,
        _PAID,
    ),
    Task("Refund a part of it", "finance", "10", refund_part, _PAID),
    Task("Say why a payment is stuck", "operator", "4", say_why_a_payment_is_stuck, _STUCK),
    Task("Say who approved a refund", "finance", "5", say_who_approved_a_refund, _APPROVED),
    Task("Resend the last webhook of a payment", "support", "not possible", resend_a_webhook, _DELIVERED),
    Task(
        "Export the last seven days in Shanghai's time",
        "finance",
        "not possible",
        export_last_week_in_shanghai,
    ),
    Task(
        "Take an item of the work queue, note and snooze it",
        "operator",
        "not possible",
        take_note_and_snooze_an_item,
    ),
    Task("Approve a large refund as the second person", "operator", "5", approve_as_second_person, _PENDING),
    Task("Find a payment by its amount", "support", "10", find_by_amount, _AMOUNT),
    Task("See a merchant's balance", "finance", "not possible", see_a_balance),
    Task("See until when a dispute must be answered", "support", "2", see_until_when_a_dispute_is_answered),
    Task("See whether a channel is down", "operator", "0", see_whether_a_channel_is_down),
)
