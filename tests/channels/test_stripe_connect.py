"""Accounts of merchants that are connected to the platform's account at Stripe: webhooks, application fees, and that no
account ever touches the payments of another one."""

import random
from typing import Any

import pytest

from channel_accounts import connected_accounts, loaded_accounts, services
from channel_accounts.application_fees import ApplicationFee
from channel_accounts.credentials import seal_credentials
from channel_accounts.errors import AccountDisconnected
from channel_accounts.models import AccountStatus, StoredChannelAccount
from channels.base import (
    ChannelAccount,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    NotProcessed,
    PaymentRef,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.guard import get_guard
from channels.registry import check_credentials
from channels.stripe import webhooks
from channels.stripe.channel import StripeChannel
from gateway.models import ChannelEvent, PaymentAttempt, Refund
from merchants.services import NewMerchant
from tests.support.auditing import _audited  # noqa: F401
from tests.support.fixtures import new_merchant, test_client_of
from tests.support.shop import Body, cancel, capture, create, data, get_payment, opened, refund, sync
from tests.support.signing import SignedClient
from tests.support.stripe.connect import (
    CONNECT_SECRET,
    add_connected_account,
    send_connect_event,
)
from tests.support.stripe.events import build_event, send, sign
from tests.support.stripe.fake import VISA, FakeStripe, Fault
from tests.support.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

ACCT = "acct_1ShopInBerlin"
SAVED_CARD = {"metadata": {"stripe_payment_method": VISA}}


@pytest.fixture
def account(fake: FakeStripe, acme: NewMerchant) -> StoredChannelAccount:
    return add_connected_account(fake, acme, ACCT)


def set_fee(account: StoredChannelAccount, fee: ApplicationFee, *, returns: bool = False) -> None:
    connected_accounts.set_application_fee(account_id=account.id, fee=fee, returns_fee_on_refund=returns)


def get_fee(fake: FakeStripe) -> tuple[int, int]:
    """Returns the collected and the refunded application fee, by Stripe's records."""
    fees = fake.get_connected(ACCT).application_fees.values()
    return sum(each["amount"] for each in fees), sum(each["amount_refunded"] for each in fees)


def pay(fake: FakeStripe, client: SignedClient, payment: Body) -> Body:
    assert fake.pay_session(payment["channel_trade_no"])
    synced: Body = data(sync(client, payment))
    return synced


class TestApplicationFee:
    def test_it_is_taken_of_the_payment_and_recorded(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        set_fee(account, ApplicationFee(250, {"USD": 30}))
        pay(fake, client, opened(client, channel="stripe"))
        assert get_fee(fake) == (280, 0)
        assert PaymentAttempt.objects.get().application_fee_minor == 280

    def test_a_saved_card_has_the_same_fee(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        set_fee(account, ApplicationFee(250, {"USD": 30}))
        assert data(create(client, channel="stripe", **SAVED_CARD))["status"] == "succeeded"
        assert get_fee(fake) == (280, 0)

    def test_a_repeated_creation_sends_the_fee_that_was_decided_first(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        """Other parameters with the same key would be refused by Stripe."""
        set_fee(account, ApplicationFee(100))
        fake.run_before("POST /v1/payment_intents", lambda: set_fee(account, ApplicationFee(500)))
        fake.plan_fault(Fault.REPEAT, "POST /v1/payment_intents")
        assert data(create(client, channel="stripe", **SAVED_CARD))["status"] == "succeeded"
        assert get_fee(fake) == (100, 0)
        assert data(create(client, channel="stripe", **SAVED_CARD))["status"] == "succeeded"
        assert get_fee(fake) == (600, 0)

    def test_a_partial_capture_takes_it_in_proportion(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        set_fee(account, ApplicationFee(250))
        body = {**SAVED_CARD, "capture_method": "manual"}
        payment = data(create(client, channel="stripe", **body))
        assert data(capture(client, payment, amount=3_999))["captured_amount"] == 3_999
        assert get_fee(fake) == (99, 0)

    def test_a_payment_with_a_fee_is_captured_once(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        set_fee(account, ApplicationFee(250))
        body = {**SAVED_CARD, "capture_method": "manual"}
        payment = data(create(client, channel="stripe", **body))
        declined = capture(client, payment, amount=1_000, final_capture=False)
        assert declined.status_code >= 400
        assert get_fee(fake) == (0, 0)

    @pytest.mark.parametrize(("returns", "returned_fee"), [(False, 0), (True, 62)])
    def test_the_account_says_whether_a_refund_gives_it_back(
        self,
        fake: FakeStripe,
        client: SignedClient,
        account: StoredChannelAccount,
        returns: bool,
        returned_fee: int,
    ) -> None:
        set_fee(account, ApplicationFee(250), returns=returns)
        payment = pay(fake, client, opened(client, channel="stripe"))
        assert data(refund(client, payment, 2_500))["status"] == "succeeded"
        assert get_fee(fake) == (250, returned_fee)
        assert Refund.objects.get().returns_application_fee is returns

    def test_a_payment_without_fee_is_refunded_without_one(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        payment = pay(fake, client, opened(client, channel="stripe"))
        set_fee(account, ApplicationFee(250), returns=True)
        assert data(refund(client, payment, 2_500))["status"] == "succeeded"
        assert not Refund.objects.get().returns_application_fee


class TestWebhooks:
    def test_an_event_signed_with_another_secret_never_names_an_account(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        """The other secrets are that of a merchant with its own keys, and that of the platform's own account."""
        attacker = StoredChannelAccount.objects.create(
            merchant=new_merchant().merchant,
            environment="test",
            channel="stripe",
            display_name="attacker",
            sealed_credentials=seal_credentials(
                {"secret_key": "sk_test_theirs", "webhook_secrets": "whsec_theirs"}
            ),
        )
        loaded_accounts.clear_cache()
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"])
        for event in fake.take_events():
            path = f"/api/v1/webhooks/stripe/{attacker.webhook_token}"
            assert send_connect_event(event, secret="whsec_theirs", path=path).status_code == 200
            assert send({**event, "id": f"{event['id']}b"}).status_code == 200
            assert send_connect_event(event, path=path).status_code == 400
            assert send_connect_event(event, secret="whsec_theirs").status_code == 400
        deauthorized = build_event("account.application.deauthorized", {}, account=ACCT)
        assert send(deauthorized).status_code == 200
        assert get_payment(client, payment)["status"] == "pending"
        account.refresh_from_db()
        assert account.status == AccountStatus.ACTIVE

    def test_the_gateway_lets_no_other_account_choose_one(
        self, fake: FakeStripe, account: StoredChannelAccount, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Even if the channel returned such an event."""
        named = WebhookEvent("evt_1", "payment_intent.succeeded", connected_account_no=ACCT)
        monkeypatch.setattr(webhooks, "parse_webhook", lambda *_arguments: named)
        path = f"/api/v1/webhooks/stripe/{account.webhook_token}"
        assert send_connect_event({}, path=path).status_code == 400

    def test_an_event_of_an_unknown_account_is_recorded_and_changes_nothing(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"])
        for event in fake.take_events():
            assert send_connect_event({**event, "account": "acct_1Stranger"}).status_code == 200
        assert set(ChannelEvent.objects.values_list("effect", flat=True)) == {"unknown_reference"}
        assert not ChannelEvent.objects.exclude(channel_account=None).exists()
        assert get_payment(client, payment)["status"] == "pending"

    def test_a_payment_of_another_account_is_not_touched(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        """One connected account sends an event about a payment of another one: its owner can write our metadata."""
        add_connected_account(fake, new_merchant(), "acct_1Other")
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"])
        for event in fake.take_events():
            assert send_connect_event({**event, "account": "acct_1Other"}).status_code == 200
        assert get_payment(client, payment)["status"] == "pending"

    def test_a_disconnected_account_is_disabled_until_it_is_checked(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        event = fake.disconnect_account(ACCT)
        for _time in range(2):
            assert send_connect_event(event).status_code == 200
        account.refresh_from_db()
        assert (account.status, account.disabled_reason) == ("disabled", "disconnected")
        assert create(client, channel="stripe").status_code == 422
        with pytest.raises(AccountDisconnected):
            services.set_account_status(account_id=account.id, status=AccountStatus.ACTIVE)
        fake.connect_account(ACCT)
        checked = services.check_stored_credentials(account=account)
        services.record_check(account_id=account.id, checked=checked)
        services.set_account_status(account_id=account.id, status=AccountStatus.ACTIVE)
        assert opened(client, channel="stripe")["status"] == "pending"

    def test_a_live_connect_endpoint_acknowledges_events_of_test_mode(
        self, fake: FakeStripe, account: StoredChannelAccount
    ) -> None:
        """docs.stripe.com/connect/webhooks: it receives both."""
        event = build_event("account.application.deauthorized", {}, account=ACCT)
        assert send_connect_event(event, secret="whsec_connect_live").status_code == 200
        live = build_event("account.application.deauthorized", {}, account=ACCT, livemode=True)
        assert send_connect_event(live).status_code == 400
        account.refresh_from_db()
        assert account.status == AccountStatus.ACTIVE

    def test_an_event_without_account_changes_nothing_at_the_connect_endpoint(
        self, fake: FakeStripe, client: SignedClient
    ) -> None:
        payment = opened(client, channel="stripe")
        fake.pay_session(payment["channel_trade_no"])
        for event in fake.take_events():
            assert send_connect_event(event).status_code == 200
        assert get_payment(client, payment)["status"] == "pending"

    def test_an_account_verifies_only_events_that_name_it(self, account: StoredChannelAccount) -> None:
        loaded = loaded_accounts.load_account(account.id).account
        body = b'{"id": "evt_1", "type": "x", "livemode": false, "account": "acct_1Other"}'
        request = WebhookRequest(body, {"Stripe-Signature": sign(body, secret=CONNECT_SECRET)})
        with pytest.raises(WebhookRefused):
            StripeChannel().parse_webhook(loaded, request)

    def test_a_dispute_is_found_with_the_connected_account(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount
    ) -> None:
        payment = pay(fake, client, opened(client, channel="stripe"))
        (intent,) = fake.get_connected(ACCT).intents
        fake.take_events()
        fake.open_dispute(intent)
        for event in fake.take_events():
            assert send_connect_event(event).status_code == 200
        assert get_payment(client, payment)["disputed_amount"] == 10_000


class TestAccess:
    def test_an_account_that_cannot_be_reached_processes_no_call(
        self, fake: FakeStripe, account: StoredChannelAccount
    ) -> None:
        loaded = loaded_accounts.load_account(account.id).account
        fake.disconnect_account(ACCT)
        result = StripeChannel().find_payment(PaymentRef("PAY-1", loaded, PATIENCE_SECONDS))
        assert isinstance(result, NotProcessed)
        assert "no access to this connected account" in result.reason

    def test_without_the_platforms_key_it_processes_no_call(
        self, fake: FakeStripe, account: StoredChannelAccount, settings: Any
    ) -> None:
        loaded = loaded_accounts.load_account(account.id).account
        settings.STRIPE_SECRET_KEYS = {"test": "", "live": ""}
        assert isinstance(
            StripeChannel().find_payment(PaymentRef("PAY-1", loaded, PATIENCE_SECONDS)), NotProcessed
        )
        assert isinstance(check_credentials("stripe", loaded, PATIENCE_SECONDS), CredentialsRefused)

    def test_the_check_says_whether_it_can_charge(self, fake: FakeStripe) -> None:
        owner = fake.connect_account(ACCT)
        connected = ChannelAccount("test", credentials={"stripe_account": ACCT})
        assert check_credentials("stripe", connected, PATIENCE_SECONDS) == CredentialsAccepted(
            "Charges are enabled."
        )
        owner.can_charge = False
        assert check_credentials("stripe", connected, PATIENCE_SECONDS) == CredentialsAccepted(
            "Charges are not enabled yet."
        )
        fake.plan_fault(Fault.LOSE_ANSWER, "GET /v1/account")
        assert isinstance(check_credentials("stripe", connected, PATIENCE_SECONDS), CredentialsUnchecked)
        for number in ("acct_1Stranger", "cus_1", "acct_1 x", ""):
            stranger = ChannelAccount("test", credentials={"stripe_account": number or "acct_"})
            refused = check_credentials("stripe", stranger, PATIENCE_SECONDS)
            assert isinstance(refused, CredentialsRefused)
            assert refused.field == "stripe_account"

    def test_its_outage_opens_its_own_breaker_alone(
        self, fake: FakeStripe, client: SignedClient, account: StoredChannelAccount, settings: Any
    ) -> None:
        settings.CHANNEL_BREAKER_PAUSE_SECONDS = 60
        payment = opened(client, channel="stripe")
        loaded = loaded_accounts.load_account(account.id).account
        for _call in range(3):
            fake.plan_fault(Fault.LOSE_REQUEST, "GET /v1/checkout/sessions/.*")
            assert sync(client, payment).status_code == 503
        assert get_guard("stripe", loaded).is_open
        assert not get_guard("stripe", ChannelAccount("test")).is_open


SEEDS, STEPS = 2, 12


@pytest.mark.parametrize("seed", range(SEEDS))
def test_two_connected_accounts_and_the_platforms_own_never_cross(fake: FakeStripe, seed: int) -> None:
    """In random interleavings: each payment is in the records of its own account alone, with the same amounts."""
    dice = random.Random(seed)
    merchants = [new_merchant() for _ in range(3)]
    rows = [add_connected_account(fake, each, f"acct_1Shop{n}") for n, each in enumerate(merchants[:2])]
    homes = [fake.get_connected(row.account_no) for row in rows] + [fake.account]
    clients = [test_client_of(each) for each in merchants]
    payments: list[list[Body]] = [[opened(each, channel="stripe")] for each in clients]

    def deliver() -> None:
        events = fake.take_events()
        dice.shuffle(events)
        for event in events:
            assert (send_connect_event(event) if "account" in event else send(event)).status_code == 200

    for _ in range(STEPS):
        shop = dice.randrange(3)
        payment = dice.choice(payments[shop])
        match dice.choice(("create", "pay", "pay", "deliver", "sync", "refund", "cancel")):
            case "create":
                payments[shop].append(opened(clients[shop], channel="stripe"))
            case "pay" if homes[shop].sessions[payment["channel_trade_no"]]["status"] == "open":
                fake.pay_session(payment["channel_trade_no"])
            case "deliver":
                deliver()
            case "sync":
                assert sync(clients[shop], payment).status_code == 200
            case "refund":
                assert refund(clients[shop], payment, 1_000).status_code in (200, 409, 422)
            case "cancel":
                cancel(clients[shop], payment)
    deliver()
    for shop, home in enumerate(homes):
        for payment in payments[shop]:
            now = data(sync(clients[shop], payment))
            assert home.get_amounts(payment["payment_no"]) == (now["captured_amount"], now["refunded_amount"])
            others = [each for each in homes if each is not home]
            assert [each.get_amounts(payment["payment_no"]) for each in others] == [(0, 0), (0, 0)]
            assert all(payment["channel_trade_no"] not in each.sessions for each in others)
