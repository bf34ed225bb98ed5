"""Fixtures of the tests of WeChat Pay."""

from collections.abc import Iterator
from typing import Any

import pytest

from channels.base import ChannelAccount
from channels.wechat import certificates
from tests.support.wechat import keys
from tests.support.wechat.server import PlannedServer, run_planned_server

WEBHOOK_URL = "https://pay.example/api/v1/webhooks/wechat"


@pytest.fixture(scope="session")
def _session_planned_server() -> Iterator[PlannedServer]:
    with run_planned_server() as planned:
        yield planned


@pytest.fixture
def planned(_session_planned_server: PlannedServer, settings: Any) -> Iterator[PlannedServer]:
    """A server that answers as the test plans, without kept platform certificates."""
    settings.WECHAT_API_BASE = _session_planned_server.url
    _session_planned_server.reset()
    certificates.forget_certificates()
    yield _session_planned_server
    assert not _session_planned_server.answers, "an answer was not requested"


def build_account(*, with_public_key: bool = True, **changes: Any) -> ChannelAccount:
    credentials = keys.build_credentials(with_public_key=with_public_key)
    return ChannelAccount("test", **{"credentials": credentials, "webhook_url": WEBHOOK_URL, **changes})
