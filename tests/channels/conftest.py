import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import stripe

from channels.paypal import certificates as paypal_certificates
from channels.paypal import tokens
from channels.stripe import webhooks
from channels.wechat import certificates
from common import http_calls
from tests.channels.harness import ChannelHarness
from tests.channels.harnesses import HARNESSES, HarnessEntry, list_harnesses
from tests.channels.wechat_harness import WechatHarness, build_credentials
from tests.support.alipay.bank import AlipayBank, alipay_bank, connect
from tests.support.connections import require_no_connection
from tests.support.fixtures import _in_a_hurry, acme, client, live_client, other_client  # noqa: F401
from tests.support.paypal.fake import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, FakePayPal
from tests.support.paypal.server import fake_paypal
from tests.support.stripe import checked_reads
from tests.support.stripe.connect import CONNECT_SECRET
from tests.support.stripe.evidence import _evidence_storage, dispute  # noqa: F401
from tests.support.stripe.fake import FakeStripe
from tests.support.stripe.server import fake_stripe
from tests.support.wechat.server import PlannedServer, run_planned_server
from tests.support.wechat_sandbox import wechat_sandbox

WEBHOOK_SECRETS = ["whsec_new", "whsec_old"]


@pytest.fixture(scope="session")
def _session_fake_stripe() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture
def fake(_session_fake_stripe: FakeStripe, settings: Any) -> Iterator[FakeStripe]:
    """A fake of Stripe that is connected for test keys, without planned faults and recorded requests."""
    settings.STRIPE_API_BASE = _session_fake_stripe.url
    settings.STRIPE_SECRET_KEYS = {"test": "sk_test_fake", "live": ""}
    settings.STRIPE_WEBHOOK_SECRETS = {"test": WEBHOOK_SECRETS, "live": ["whsec_live"]}
    settings.STRIPE_CONNECT_WEBHOOK_SECRETS = {"test": [CONNECT_SECRET], "live": ["whsec_connect_live"]}
    _session_fake_stripe.reset()
    yield _session_fake_stripe
    assert not _session_fake_stripe.errors, _session_fake_stripe.errors


@pytest.fixture(scope="session")
def _session_alipay() -> Iterator[AlipayBank]:
    with alipay_bank() as bank:
        yield bank


@pytest.fixture
def alipay(_session_alipay: AlipayBank, settings: Any) -> AlipayBank:
    """Alipay's sandbox as the platform's own account for test keys, without faults, at the time of the machine."""
    connect(settings, _session_alipay)
    return _session_alipay


@pytest.fixture(scope="session")
def _session_paypal() -> Iterator[FakePayPal]:
    with fake_paypal() as paypal:
        yield paypal


@pytest.fixture
def paypal(_session_paypal: FakePayPal, settings: Any) -> Iterator[FakePayPal]:
    """A fake of PayPal as the platform's own account for test keys, without planned faults and recorded requests."""
    settings.PAYPAL_API_BASE = _session_paypal.url
    account = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "webhook_id": WEBHOOK_ID}
    settings.PAYPAL_CREDENTIALS = {"test": account, "live": dict.fromkeys(account, "")}
    tokens.forget_tokens()
    paypal_certificates.forget_certificates()
    _session_paypal.reset()
    yield _session_paypal
    assert not _session_paypal.errors, _session_paypal.errors


@pytest.fixture(scope="session")
def _session_planned_server() -> Iterator[PlannedServer]:
    with run_planned_server() as planned:
        yield planned


@pytest.fixture
def planned(_session_planned_server: PlannedServer, settings: Any) -> Iterator[PlannedServer]:
    """A server in place of WeChat Pay that gives the planned answers. The cache of platform certificates is empty."""
    settings.WECHAT_API_BASE = _session_planned_server.url
    _session_planned_server.reset()
    certificates.forget_certificates()
    yield _session_planned_server
    assert not _session_planned_server.answers, "an answer was not requested"


@pytest.fixture
def wechat(request: pytest.FixtureRequest, settings: Any) -> Iterator[Callable[[str], WechatHarness]]:
    """Builds a harness for a method of WeChat Pay, whose sandbox is connected for test keys."""
    received: list[WechatHarness] = []
    with wechat_sandbox(send_callback=lambda *webhook: received[-1].receive(*webhook)) as sandbox:
        settings.WECHAT_API_BASE = sandbox.url
        settings.WECHAT_CREDENTIALS = {"test": build_credentials(sandbox), "live": {}}
        certificates.forget_certificates()

        def build(method: str) -> WechatHarness:
            received.append(WechatHarness(request, sandbox, method))
            return received[-1]

        yield build


@pytest.fixture(autouse=True)
def _check_fields_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every field that our code reads of an answer or event must exist in the specification and in the SDK."""
    as_dict = stripe.StripeObject.to_dict

    def to_dict(self: stripe.StripeObject, **options: Any) -> Any:
        return checked_reads.check_reads(as_dict(self, **options), type(self))

    def loads(body: bytes) -> Any:
        return checked_reads.check_reads(json.loads(body), stripe.Event)

    monkeypatch.setattr(stripe.StripeObject, "to_dict", to_dict)
    monkeypatch.setattr(webhooks, "json", SimpleNamespace(loads=loads))


@pytest.fixture
def _no_connection_in_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests through the API: a call of a channel fails when the thread holds a database connection.

    All channels but the simulator send their calls with the session that this function returns.
    """
    get_session = http_calls._get_session

    def check_and_get_session() -> requests.Session:
        require_no_connection()
        return get_session()

    monkeypatch.setattr(http_calls, "_get_session", check_and_get_session)


def _build_harness_fixture(can: Callable[[HarnessEntry], bool]) -> Any:
    """Builds a fixture with each harness whose payment method supports the journey of the test."""

    @pytest.fixture(params=list_harnesses(can))
    def build_harness(request: pytest.FixtureRequest) -> ChannelHarness:
        return HARNESSES[request.param].build(request)

    return build_harness


harness = _build_harness_fixture(lambda _entry: True)
stored_harness = _build_harness_fixture(lambda entry: entry.is_stored)
page_harness = _build_harness_fixture(lambda entry: entry.waits)
searchable_harness = _build_harness_fixture(lambda entry: entry.is_searchable)
searchable_capture_harness = _build_harness_fixture(lambda entry: entry.is_searchable and entry.captures)
stored_page_harness = _build_harness_fixture(lambda entry: entry.waits and entry.is_stored)
calling_harness = _build_harness_fixture(lambda entry: entry.calls)
capture_harness = _build_harness_fixture(lambda entry: entry.captures)
repeated_capture_harness = _build_harness_fixture(lambda entry: entry.captures_repeatedly)
approving_harness = _build_harness_fixture(lambda entry: entry.approves)
late_harness = _build_harness_fixture(lambda entry: entry.takes_late_money)
contradicting_harness = _build_harness_fixture(lambda entry: entry.can_contradict)
worldwide_harness = _build_harness_fixture(lambda entry: entry.is_worldwide)
