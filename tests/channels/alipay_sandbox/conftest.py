import http.client
import itertools
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.util import WebUtils
from cryptography.hazmat.primitives.asymmetric import rsa

from channels.alipay.sandbox.clock import BEIJING, Clock
from channels.alipay.sandbox.server import SandboxServer
from tests.channels.alipay_sandbox.shop import Keys, Receiver, Shop, receiver

_COUNT = itertools.count(1)


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(*(rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    """One sandbox for all tests; each test has an app of its own. The clock is stopped, and tests move it forward."""
    clock = Clock(start=datetime(2026, 11, 28, 10, tzinfo=BEIJING), is_stopped=True)
    server = SandboxServer(clock=clock)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def notices() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def shop(sandbox: SandboxServer, keys: Keys, notices: Receiver) -> Shop:
    number = next(_COUNT)
    result = Shop(sandbox, keys, f"20210000{number:08d}", f"20880000{number:08d}", f"{notices.url}/{number}")
    result.control(
        "POST",
        "apps",
        app_id=result.app_id,
        seller_id=result.seller_id,
        app_public_key=keys.app_public,
        alipay_private_key=keys.alipay_private,
    )
    return result


@pytest.fixture
def sdk(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> DefaultAlipayClient:
    """Alipay's own client. It connects to ports 80 and 443 only, so the test gives it a connection to the sandbox."""

    def connect(url: str, query: str, timeout: float) -> tuple[str, http.client.HTTPConnection]:
        address = urlsplit(url)
        return f"{url}?{query}", http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=timeout
        )

    monkeypatch.setattr(WebUtils, "get_http_connection", connect)
    config = AlipayClientConfig()
    config.server_url = shop.sandbox.gateway_url
    config.app_id = shop.app_id
    config.app_private_key = shop.keys.app_pkcs1
    config.alipay_public_key = shop.keys.alipay_public
    return DefaultAlipayClient(config)
