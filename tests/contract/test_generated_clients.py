"""Clients that common generators make from the served document pay, refund and read deliveries (issue 10 C)."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.models import Payment, Refund
from merchants.services import NewMerchant
from tests.contract.document import NPM, document, node_tool, run
from tests.support.receiver import Receiver
from tests.support.shop import new_no, paid
from tests.support.signing import SignedClient
from tests.support.webhooks import deliver_due, registered

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def a_delivery(client: SignedClient) -> Iterator[None]:
    """A webhook delivery of an earlier payment of the merchant."""
    with Receiver() as receiver:
        registered(client, receiver.url("/hook"))
        paid(client)
        deliver_due()
        yield


def assert_done(output: str, order_no: str) -> None:
    result = json.loads(output)
    payment = Payment.objects.get(order_no=order_no)
    assert result["payment_no"] == payment.payment_no
    assert (payment.status, payment.refunded_minor) == ("succeeded", 4_000)
    assert list(Refund.objects.values_list("refund_no", flat=True)) == [result["refund_no"]]


@pytest.mark.usefixtures("a_delivery")
def test_the_python_client_pays_and_refunds(acme: NewMerchant, live_server: Any, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    (tmp_path / "config.yml").write_text(
        "package_name_override: api_client\npost_hooks: []\n"
        # The generator supports files of this type only (see docs/FEES.md).
        "content_type_overrides: {application/pdf: application/octet-stream}\n"
    )
    printed = run(
        sys.executable,
        *("-m", "openapi_python_client", "generate", "--path", "openapi.json", "--config", "config.yml"),
        *("--meta", "none", "--output-path", "api_client", "--fail-on-warning"),
        cwd=tmp_path,
    )
    assert "Warning" not in printed
    shop, order_no = Path(__file__).with_name("python_shop.py"), new_no()
    key = acme.test_key
    output = run(
        sys.executable,
        *(shop, live_server.url, key.key, key.secret, order_no),
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert_done(output, order_no)


@pytest.mark.usefixtures("a_delivery")
def test_the_typescript_client_pays_and_refunds(acme: NewMerchant, live_server: Any, tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(document()))
    for name in ("package.json", "tsconfig.json", "shop.ts"):
        shutil.copy(NPM / name, tmp_path)
    os.symlink(NPM / "node_modules", tmp_path / "node_modules")
    run(*node_tool("openapi-typescript"), "openapi.json", "--output", "api.d.ts", cwd=tmp_path)
    run(*node_tool("tsc"), "--project", "tsconfig.json", cwd=tmp_path)
    order_no, key = new_no(), acme.test_key
    output = run(node_tool("tsc")[0], "shop.js", live_server.url, key.key, key.secret, order_no, cwd=tmp_path)
    assert_done(output, order_no)
