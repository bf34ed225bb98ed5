"""Merchants, customers, banks, channels and staff act at random, while processes crash."""

import datetime as dt
import io
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.db.models.functions import Now

from benchmarks.month_statements import FORMATS, ReportedLine, build_statement
from channels.base import DisputeState, WebhookRequest
from channels.simulator import bank as simulated_bank
from channels.simulator import disputes
from channels.simulator.models import SimulatedDispute, SimulatedPayment
from channels.simulator.router import ALIAS
from common import crash
from common.clock import database_now
from common.errors import OperationRefused
from common.external_calls import release_connections
from fees.formula import Rate, RefundRule, Terms, Tier
from fees.models import FeePlan
from fees.services.plans import add_version, assign_plan
from gateway import state_machine
from gateway.models import Payment
from merchants.services import NewMerchant
from payouts.models import BankAccount, Payout, PayoutRun
from payouts.services import runs
from payouts.services.files import download_file
from payouts.services.outcomes import BankOutcome, record_outcome
from settlements.models import CaseState, SettlementCase, StatementFormat
from settlements.parsers.base import StatementIdentity
from settlements.parsers.registry import get_zone
from settlements.services import cases
from settlements.services.importing import import_statement, record_empty_day
from settlements.services.matching import settle_statement
from tests.channels.harness import ChannelHarness, SimulatorHarness, StripeHarness
from tests.channels.paypal_harness import PayPalHarness
from tests.channels.random_books.channel_books import (
    ChannelBook,
    Movement,
    build_reader,
    can_be_paid,
)
from tests.channels.random_books.days import let_a_day_pass
from tests.channels.random_books.paypal_actions import act_on_dispute, refund_on_the_page
from tests.channels.test_journeys import pay, send_webhook
from tests.payouts.conftest import give_bank_account, no_conflict
from tests.payouts.conftest import give_plan as give_payout_plan
from tests.support import background, bank
from tests.support.fixtures import new_merchant, test_client_of
from tests.support.outage import advance_time_for_breaker
from tests.support.polling import expire_due, poll_due
from tests.support.shop import REFUNDS, Body, cancel, capture, create, get_payment, sync
from tests.support.signing import SignedClient

AMOUNTS = (10_000, 4_321, 33_333)
# The fee that the channel keeps of a payment: millionths, and minor units.
CHANNEL_FEES = {
    "simulator": (15_000, 10),
    "stripe": (29_000, 30),
    "wechat": (6_000, 0),
    "alipay": (6_000, 0),
    "paypal": (34_900, 49),
}
DAY_SECONDS = 86_400
EXPECTED_STATUSES = (200, 202, 402, 404, 409, 422, 502, 503)
WORKER_ROUNDS = 5
# Longer than every pause of a circuit breaker and its recovery.
OUTAGE_SECONDS = 60.0
MAX_PAUSES = 40


class Killed(BaseException):
    """Stands for SIGKILL: no handler of the platform catches it."""


@dataclass
class Shop:
    """One merchant, with the terms of its plan at each moment: the oracle computes its fees from them."""

    merchant: NewMerchant
    client: SignedClient
    terms: Terms | None
    terms_since: list[tuple[dt.datetime, Terms]] = field(default_factory=list)


@dataclass
class Sale:
    """A payment with its merchant and the harness of its channel."""

    shop: Shop
    harness: ChannelHarness
    body: Body
    is_manual: bool = False

    @property
    def payment_no(self) -> str:
        number: str = self.body["payment_no"]
        return number


@dataclass
class PaidOut:
    """A line of a payout file. `returned_minor`: the amount that the bank returned, less its fee."""

    merchant_id: uuid.UUID
    currency: str
    amount_minor: int
    returned_minor: int = 0


@dataclass
class Statement:
    """The sums of an imported statement, by currency: gross, fee, and the payout to the platform's bank."""

    channel: str
    gross_minor: dict[str, int]
    fee_minor: dict[str, int]
    paid_minor: dict[str, int]


@dataclass
class World:
    dice: random.Random
    monkeypatch: pytest.MonkeyPatch
    harnesses: list[ChannelHarness]
    shops: list[Shop] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    books: dict[str, ChannelBook] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)
    paid_out: dict[str, PaidOut] = field(default_factory=dict)
    webhooks: list[tuple[ChannelHarness, WebhookRequest]] = field(default_factory=list)
    reported: set[tuple[str, int]] = field(default_factory=set)
    unpaid: list[ReportedLine] = field(default_factory=list)
    imported: list[tuple[bytes, str, StatementIdentity]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    charged: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)
    deaths: int = 0
    days_passed: int = 0

    def prepare(self) -> None:
        for number, terms in enumerate(build_terms()):
            merchant = new_merchant(name=f"Shop {number}")
            self.shops.append(Shop(merchant, test_client_of(merchant), terms))
            if terms is not None:
                set_terms(self.shops[-1], terms)
            give_payout_plan(merchant.merchant.id)
            give_bank_account(merchant.merchant.id)
        for harness in self.harnesses:
            name = harness.channel.name
            if name not in self.books:
                self.books[name] = ChannelBook(name, build_reader(harness, self.known))

    # --- Steps -----------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        often = (self.sell, self.sell, self.pay, self.pay, self.deliver, self.refund, self.dispute)
        seldom = (
            self.capture,
            self.cancel,
            self.sync,
            self.poll,
            self.work,
            self.return_refund,
            self.pay_late,
        )
        rarely = (self.pass_day, self.import_day, self.decide_case, self.pay_out, self.answer_payout)
        staff = (self.charge_suspense, self.change_plan, self.import_again, self.refund_in_dashboard)
        choices = [*often, *often, *seldom, *rarely, *staff]
        for _ in range(steps):
            step = self.dice.choice(choices)
            self.history.append(step.__name__)
            if self.dice.random() < 0.25:
                self._die_in(step)
            else:
                step()
            if step not in (*rarely, *staff[:3]):  # these steps move no money at a channel
                self._look()

    def _die_in(self, step: Callable[[], None]) -> None:
        """The process dies at one of the next five crash points, if the step reaches it."""
        with self._dying(self.dice.randrange(1, 6)):
            try:
                step()
            except Killed:
                self.deaths += 1
        background.expire_all_leases()

    @contextmanager
    def _dying(self, after: int) -> Iterator[None]:
        left = [after]

        def reach(point: str, *_details: object, **_named: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                self.history.append(f"died at {point}")
                raise Killed

        with self.monkeypatch.context() as patch:
            patch.setattr(crash, "reach", reach)
            yield

    def _look(self) -> None:
        for book in self.books.values():
            book.look()

    def sell(self) -> None:
        harness, shop = self.dice.choice(self.harnesses), self.dice.choice(self.shops)
        can_hold = isinstance(harness, SimulatorHarness | StripeHarness | PayPalHarness)
        is_manual = can_hold and self.dice.random() < 0.3
        fields: dict[str, Any] = harness.build_api_fields(
            loses=self.dice.choice(("", "", "", "request", "answer"))
        )
        if is_manual:
            options = getattr(harness, "repeated_capture_options", {})
            fields |= {"capture_method": "manual", "payment_method_options": options}
        key = uuid.uuid4().hex
        order = f"ORDER-{len(self.sales)}-{key[:8]}"
        wanted = {
            "amount": self.dice.choice(AMOUNTS), "currency": harness.currency, "order_no": order, **fields,
        }  # fmt: skip
        try:
            answer = create(shop.client, key=key, **wanted)
        except Killed:
            # The merchant's program repeats a request that got no answer.
            self.deaths += 1
            background.expire_all_leases()
            with self.monkeypatch.context() as patch:
                patch.setattr(crash, "reach", lambda *_details, **_named: None)
                answer = create(shop.client, key=key, **wanted)
        assert answer.status_code in EXPECTED_STATUSES, answer.content
        row = Payment.objects.filter(order_no=order).first()
        if row is not None:
            body = get_payment(shop.client, {"payment_no": row.payment_no})
            self.sales.append(Sale(shop, harness, body, is_manual))
            self.known.add(row.payment_no)

    def pay(self) -> None:
        sale = self._choose(lambda body: body["status"] == "pending" and body["next_action"])
        if sale and can_be_paid(sale.harness, sale.body):
            pay(sale.harness, sale.body)

    def pay_late(self) -> None:
        sale = self._choose(lambda body: body["status"] in ("cancelled", "expired"))
        if sale is None or not isinstance(sale.harness, SimulatorHarness) or sale.is_manual:
            return
        if sale.harness.method != "simulator":
            return
        has_moved = any(each.payment_no == sale.payment_no for each in self.books["simulator"].movements)
        if not has_moved and SimulatedPayment.objects.filter(pk=sale.payment_no).exists():
            if self.dice.random() < 0.5:
                self._open_simulated_dispute(sale)
            sale.harness.pay_late(sale.payment_no)

    def deliver(self) -> None:
        """Some of the webhooks arrive, in any order; some of them arrive again later."""
        self._collect_webhooks()
        self.dice.shuffle(self.webhooks)
        count = self.dice.randrange(6)
        arriving = self.webhooks[:count]
        repeated = [each for each in arriving if self.dice.random() < 0.2]
        for each in arriving:
            if self._send(*each):  # otherwise, and after a crash, the channel sends it again
                self.webhooks.remove(each)
                self.webhooks += [each] if each in repeated else []

    def _collect_webhooks(self) -> None:
        for harness in self.harnesses:
            self.webhooks += [(harness, each) for each in harness.take_webhooks()]

    def _send(self, harness: ChannelHarness, webhook: WebhookRequest) -> bool:
        """Returns False when the platform cannot apply the event yet, such as while it cannot reach the channel."""
        status = send_webhook(harness, webhook).status_code
        release_connections()
        assert status in (200, 503), (status, webhook.body, self.history)
        return status == 200

    def capture(self) -> None:
        if sale := self._choose(lambda body: body["status"] == "authorized"):
            left = sale.body["capturable_amount"]
            amount = self.dice.choice((left, left // 2 or left, left // 3 or left))
            final = self.dice.random() < 0.5
            self._expect(capture(sale.shop.client, sale.body, amount=amount, final_capture=final).status_code)

    def cancel(self) -> None:
        if sale := self._choose(lambda body: body["status"] in ("pending", "authorized")):
            self._expect(cancel(sale.shop.client, sale.body).status_code)

    def refund(self) -> None:
        sale = self._choose(lambda body: body["refundable_amount"] > 0)
        if sale:
            left = sale.body["refundable_amount"]
            amount = self.dice.choice((left, left // 2 or left, left // 3 or left))
            body = {"payment_no": sale.payment_no, "amount": amount}
            self._expect(sale.shop.client.post(REFUNDS, body).status_code)
            sale.harness.settle_refunds()

    def return_refund(self) -> None:
        """The customer's bank returns a refund that had succeeded."""
        refunds = [
            each
            for each in self.books["simulator"].movements
            if each.kind == "refund" and not self._is_returned(each)
        ]
        if refunds:
            bank.return_refund(self.dice.choice(refunds).reference)

    def _is_returned(self, refund: Movement) -> bool:
        return any(
            each.kind == "refund_reversal" and each.reference == refund.reference
            for each in self.books[refund.channel].movements
        )

    def refund_in_dashboard(self) -> None:
        """Staff of the merchant refund at Stripe or PayPal, regardless of the platform's refunds and of disputes."""
        at_paypal = self._list_payments("paypal")
        if at_paypal and self.dice.random() < 0.5:
            refund_on_the_page(self._paypal.fake, self.dice, at_paypal)
            return
        paid = self._list_payments("stripe")
        fake = self._stripe.fake
        if paid:
            intent = fake.intents[self.dice.choice(paid).channel_no]
            charge = fake.account.charges[intent["latest_charge"]]
            left = intent["amount_received"] - charge["amount_refunded"]
            if left > 1:
                fake.refund_in_dashboard(intent["id"], left // 2)

    def _list_payments(self, channel: str) -> list[Movement]:
        return [each for each in self.books[channel].movements if each.kind == "payment"]

    @property
    def _paypal(self) -> PayPalHarness:
        return next(each for each in self.harnesses if isinstance(each, PayPalHarness))

    @property
    def _stripe(self) -> StripeHarness:
        return next(each for each in self.harnesses if isinstance(each, StripeHarness))

    def dispute(self) -> None:
        """A bank opens a dispute, or decides one."""
        match self.dice.randrange(6):
            case 0:
                sale = self._choose(lambda body: body["captured_amount"] > 0)
                if sale and isinstance(sale.harness, SimulatorHarness):
                    self._open_simulated_dispute(sale)
            case 1:
                self._decide_simulated_dispute()
            case 2:
                paid = self._list_payments("stripe")
                disputed = {each["payment_intent"] for each in self._stripe.fake.account.disputes.values()}
                fresh = [each.channel_no for each in paid if each.channel_no not in disputed]
                if fresh:
                    intent = self._stripe.fake.intents[self.dice.choice(fresh)]
                    amount = self.dice.choice((intent["amount_received"], intent["amount_received"] // 2))
                    self._stripe.fake.open_dispute(intent["id"], amount=amount)
            case 3:
                self._decide_stripe_dispute()
            case _:
                act_on_dispute(self._paypal.fake, self.dice, self._list_payments("paypal"))

    def _decide_stripe_dispute(self) -> None:
        account = self._stripe.fake.account
        ours = {each.channel_no for each in self.books["stripe"].movements if each.kind == "dispute"}
        waiting = [
            each
            for each in account.disputes.values()
            if each["status"] == "needs_response" and each["id"] in ours
        ]
        if waiting:
            chosen = self.dice.choice(waiting)
            account.update_object(chosen, status=self.dice.choice(("won", "lost")))
            account.emit_event("charge.dispute.closed", chosen)

    def _open_simulated_dispute(self, sale: Sale) -> None:
        amount = self.dice.choice((sale.body["amount"], sale.body["amount"] // 2))
        with transaction.atomic(using=ALIAS):
            disputes.open_dispute(simulated_bank.lock_existing_payment(sale.payment_no), amount)

    def _decide_simulated_dispute(self) -> None:
        """A decision follows another one only when that one is known here: the reports of both have no order."""
        self._collect_webhooks()
        waiting = b"".join(webhook.body for _harness, webhook in self.webhooks)
        numbers = [
            each.pk
            for each in SimulatedDispute.objects.filter(payment_id__in=self.known).order_by("created_at")
            if each.state == DisputeState.NEEDS_RESPONSE or each.pk.encode() not in waiting
        ]
        if numbers:
            state = self.dice.choice((DisputeState.WON, DisputeState.LOST))
            disputes.decide_dispute(self.dice.choice(numbers), state)

    def sync(self) -> None:
        if sale := self._choose(lambda _body: True):
            self._expect(sync(sale.shop.client, sale.body).status_code)

    def poll(self) -> None:
        background.make_checks_due()
        poll_due()

    def work(self) -> None:
        advance_time_for_breaker(OUTAGE_SECONDS)
        background.run_rounds(WORKER_ROUNDS)

    def charge_suspense(self) -> None:
        if sale := self._choose(lambda _body: True):
            with transaction.atomic():
                self.charged.add(sale.payment_no)
                locked = Payment.objects.select_for_update().get(payment_no=sale.payment_no)
                state_machine.charge_suspense(payment=locked, actor="ana", reason="agreed")

    def change_plan(self) -> None:
        """The fees of the first merchant change."""
        shop = self.shops[0]
        assert shop.terms is not None
        percent = self.dice.choice((19_000, 25_000, 31_000))
        rates = [
            Rate(
                each.currency, (Tier(0, percent), Tier(30_000, 11_000)), fixed_minor=self.dice.choice((0, 25))
            )
            for each in shop.terms.rates
        ]
        shop.terms = Terms(rates, self.dice.choice(list(RefundRule)))
        set_terms(shop, shop.terms)

    # --- Days and statements ---------------------------------------------------------------------------------

    def pass_day(self) -> None:
        let_a_day_pass()
        self._paypal.fake.advance_clock(DAY_SECONDS)
        self.days_passed += 1
        advance_time_for_breaker(OUTAGE_SECONDS)
        for book in self.books.values():
            for each in book.movements:
                each.seen_at -= dt.timedelta(days=1)
        for line in self.unpaid:
            line.at -= dt.timedelta(days=1)
        for shop in self.shops:
            shop.terms_since = [(at - dt.timedelta(days=1), terms) for at, terms in shop.terms_since]
        self.imported = [
            (content, name, StatementIdentity(*_place(identity), identity.day - dt.timedelta(days=1)))
            for content, name, identity in self.imported
        ]

    def import_day(self) -> None:
        """Imports the statement of a past day of any channel, not always of the oldest day."""
        days = self.list_days()
        if days:
            self.import_statement_of(*self.dice.choice(days))

    def list_days(self) -> list[tuple[str, dt.date]]:
        """Returns the past days that no statement has reported. A channel makes one file for each day."""
        now = dt.datetime.now(dt.UTC)
        found = set()
        for channel, book in self.books.items():
            today = now.astimezone(get_zone(channel)).date()
            for each in book.movements:
                day = each.seen_at.astimezone(get_zone(channel)).date()
                if (channel, each.number) not in self.reported and day < today:
                    found.add((channel, day))
        return sorted(found)

    def import_statement_of(self, channel: str, day: dt.date) -> None:
        of_day = [
            each
            for each in self.books[channel].movements
            if each.seen_at.astimezone(get_zone(channel)).date() == day
        ]
        lines = [self._report(each) for each in of_day]
        self.reported |= {(channel, each.number) for each in of_day}
        paid: list[ReportedLine] = []
        if channel == "stripe":
            self.unpaid += lines
            if self.dice.random() < 0.5:
                paid, self.unpaid = self.unpaid, []
        content = build_statement(channel, "test", day, lines, paid)
        identity = StatementIdentity(channel, "test", None, day)
        self.statements.append(summarize(channel, lines, paid))
        self.imported.append((content, FORMATS.get(channel, "csv"), identity))
        self._import(self.imported[-1])

    def import_again(self) -> None:
        if self.imported:
            self._import(self.dice.choice(self.imported))

    def _import(self, each: tuple[bytes, str, StatementIdentity]) -> None:
        content, name, identity = each
        found = import_statement(file=io.BytesIO(content), format=StatementFormat(name), identity=identity)
        settle_statement(file_id=found.file.id)

    def _report(self, movement: Movement) -> ReportedLine:
        rate, fixed = CHANNEL_FEES[movement.channel]
        gross, fee = movement.amount_minor, 0
        if movement.kind == "payment" and gross > 0:
            fee = (gross * rate * 2 + 1_000_000) // 2_000_000 + fixed
        elif movement.channel == "wechat" and movement.kind == "refund":
            fee = -((-gross * rate * 2 + 1_000_000) // 2_000_000)
        return ReportedLine(
            kind=movement.kind,
            gross_minor=gross,
            fee_minor=fee,
            currency=movement.currency,
            at=movement.seen_at.replace(microsecond=0),
            reference=movement.reference,
            channel_no=movement.channel_no,
            line_no=f"txn_{movement.channel}_{movement.number}",
            trade_reference=movement.payment_no,
        )

    def decide_case(self) -> None:
        open_cases = list(
            SettlementCase.objects.exclude(state=CaseState.RESOLVED).order_by("opened_at", "id")
        )
        if open_cases:
            self.resolve_case(self.dice.choice(open_cases), writes_off=self.dice.random() < 0.4)

    def resolve_case(self, case: SettlementCase, *, writes_off: bool) -> None:
        if writes_off:
            cases.request_write_off(case_id=case.id, actor="ann", reason="small")
            cases.approve_write_off(case_id=case.id, actor="bob", reason="small", find_conflict=no_conflict)
        else:
            cases.book_case(case_id=case.id, actor="ann", reason="as reported")

    # --- Payouts ---------------------------------------------------------------------------------------------

    def pay_out(self) -> None:
        BankAccount.objects.update(usable_from=Now())
        waiting = PayoutRun.objects.filter(status="awaiting_approval").first()
        if waiting is None:
            try:
                run_id = runs.create_run(environment="test", currency="USD", actor="ann", reason="weekly")
            except OperationRefused:  # nothing is payable
                self.read_files()
                return
        else:
            run_id = waiting.id
        run = PayoutRun.objects.get(id=run_id)
        if run.status == "awaiting_approval":
            if self.dice.random() < 0.25:
                runs.reject_run(run_id=run_id, actor="bob", reason="wrong day")
            else:
                runs.approve_run(run_id=run_id, actor="bob", reason="checked", find_conflict=no_conflict)
        self.read_files()

    def read_files(self) -> None:
        """The bank reads the payout files and pays their rows."""
        for run in PayoutRun.objects.filter(status="sent"):
            content = download_file(run_id=run.id, actor="ann", reason="upload").content.decode()
            for row in content.splitlines()[1:]:
                number, *_account, amount, currency = row.split(",")
                if number not in self.paid_out:
                    merchant_id = Payout.objects.get(payout_no=number).merchant_id
                    self.paid_out[number] = PaidOut(merchant_id, currency, round(float(amount) * 100))

    def answer_payout(self) -> None:
        waiting = [number for number, paid in self.paid_out.items() if not paid.returned_minor]
        if not waiting:
            return
        number = self.dice.choice(waiting)
        if self.dice.random() < 0.5:
            self._record(BankOutcome(number, "paid"), "ann")
            return
        fee = self.dice.choice((0, 25))
        paid = self.paid_out[number]
        if fee >= paid.amount_minor:
            return
        returned = BankOutcome(number, "returned", code="AC04", fee_minor=fee)
        self._record(returned, "ann")
        self._record(returned, "bob")
        paid.returned_minor = paid.amount_minor - fee

    def _record(self, outcome: BankOutcome, actor: str) -> None:
        record_outcome(outcome=outcome, actor=actor, reason="report", find_conflict=no_conflict)

    # --- The end ---------------------------------------------------------------------------------------------

    def finish_all_work(self) -> None:
        """Finishes all open work. Then two days pass, all days get their statements, and all cases are decided."""
        for harness in self.harnesses:
            harness.end_pages()
        for number in range(1, MAX_PAUSES + 1):
            is_at_rest = self._let_pauses_pass()
            if is_at_rest and number >= 3:
                break
        background.finish()
        assert not self.webhooks, f"still refused: {self.webhooks}"
        self._look()
        self.pay_out()
        for _ in range(2):
            self.pass_day()
            self._look()
        while days := self.list_days():
            self.import_statement_of(*self.dice.choice(days))
        self._record_empty_days()
        for case in SettlementCase.objects.exclude(state=CaseState.RESOLVED):
            self.resolve_case(case, writes_off=False)

    def _let_pauses_pass(self) -> bool:
        """Lets pauses pass: between two refunds of one payment, and until the end of an outage. Returns True when no
        saga waits and no webhook must be sent again."""
        background.run_rounds(background.MAX_ROUNDS)
        advance_time_for_breaker(OUTAGE_SECONDS)
        for harness in self.harnesses:
            harness.settle_refunds()
            harness.pass_refund_pause()
            self.webhooks += [(harness, each) for each in harness.take_webhooks()]
        self.webhooks = [each for each in self.webhooks if not self._send(*each)]
        self.poll()
        expire_due()
        is_at_rest = background.run_rounds(background.MAX_ROUNDS)
        self._look()
        return is_at_rest and not self.webhooks

    def _record_empty_days(self) -> None:
        """Records an empty statement for each day without movements at the channel. Money that the ledger has for that
        day, and that no statement reports, becomes a case."""
        now = dt.datetime.now(dt.UTC)
        for channel in self.books:
            today = now.astimezone(get_zone(channel)).date()
            for age in range(self.days_passed + 1, 0, -1):
                identity = StatementIdentity(channel, "test", None, today - dt.timedelta(days=age))
                recorded = record_empty_day(
                    format=StatementFormat(FORMATS.get(channel, "csv")), identity=identity
                )
                if recorded.is_new:
                    settle_statement(file_id=recorded.file.id)

    def was_charged(self, payment_no: str) -> bool:
        return payment_no in self.charged

    def find_terms(self, shop: Shop, at: dt.datetime) -> dict[str, Any] | None:
        """Returns the terms that were valid for the shop at this time."""
        valid = [terms for since, terms in shop.terms_since if since <= at]
        return valid[-1].as_json() if valid else None

    def describe(self) -> str:
        moved = sum(len(book.movements) for book in self.books.values())
        return (
            f"{len(self.sales)} payments, {moved} movements, {self.deaths} deaths, {len(self.statements)} statements,"
            f" {len(self.paid_out)} payouts"
        )

    def _choose(self, fits: Callable[[Body], object]) -> Sale | None:
        """Returns a sale whose payment now fits the condition."""
        candidates = self.dice.sample(self.sales, min(4, len(self.sales)))
        for sale in candidates:
            sale.body = get_payment(sale.shop.client, sale.body)
            if fits(sale.body):
                return sale
        return None

    def _expect(self, status: int) -> None:
        assert status in EXPECTED_STATUSES, (status, self.history)


def build_terms() -> list[Terms | None]:
    """Builds three kinds of terms: with tiers; with a fixed part that refunds do not return; no plan."""
    tiers = [
        Rate(currency, (Tier(0, 29_000), Tier(25_000, 15_000), Tier(60_000, 5_000)), fixed_minor=30)
        for currency in ("USD", "CNY")
    ]
    plain = [
        Rate(currency, (Tier(0, 25_000),), fixed_minor=20, minimum_minor=150, maximum_minor=500)
        for currency in ("USD", "CNY")
    ]
    return [Terms(tiers, RefundRule.PROPORTIONAL), Terms(plain, RefundRule.KEEP_FIXED), None]


def set_terms(shop: Shop, terms: Terms) -> None:
    name = f"Plan of {shop.merchant.merchant.pk}"
    with transaction.atomic():
        is_new = not FeePlan.objects.filter(name=name).exists()
        add_version(plan_name=name, terms=terms, valid_from=None)
        if is_new:
            assign_plan(merchant=shop.merchant.merchant, plan=FeePlan.objects.get(name=name), valid_from=None)
    shop.terms_since.append((database_now(), terms))


def summarize(channel: str, lines: list[ReportedLine], paid: list[ReportedLine]) -> Statement:
    """Adds the lines up. WeChat Pay rounds its sum of the fees once a day."""
    gross, fee, out = dict[str, int](), dict[str, int](), dict[str, int]()
    for line in lines:
        gross[line.currency] = gross.get(line.currency, 0) + line.gross_minor
        fee[line.currency] = fee.get(line.currency, 0) + line.fee_minor
    if channel == "wechat":
        thousandths = sum(line.gross_minor * 6 for line in lines)
        whole = (abs(thousandths) * 2 + 1_000) // 2_000
        fee["CNY"] = whole if thousandths >= 0 else -whole
    for line in paid:
        out[line.currency] = out.get(line.currency, 0) + line.net_minor
    return Statement(channel, gross, fee, out)


def _place(identity: StatementIdentity) -> tuple[str, str, uuid.UUID | None]:
    return identity.channel, identity.environment, identity.channel_account_id
