"""No secret of a run is in its logs, database dump, Redis, traces, events or metrics.

Every process of the platform runs, with secrets of this run. Merchants pay, refund, get declined, change their keys and
accounts and get webhooks; staff sign in, enrol and change passwords; strangers send invalid requests. Then all outputs
are searched for every secret, in every form.
"""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests
from django_otp.oath import TOTP

from scripts.local.account import Account
from scripts.local.config import ROOT
from scripts.local.wheels import postgres_binary
from scripts.release_gate.leaks import find_leaks
from tests.observability.containers import LONG_RUNNING, Containers, containers
from tests.observability.test_running_platform import _new_merchant, _pay, _shown
from tests.support import receiver as webhooks
from tests.support.http_shop import HttpShop, Write, payment
from tests.support.stripe.server import fake_stripe
from tests.support.waiting import PATIENCE_SECONDS, wait_until

pytestmark = pytest.mark.stack

API = "/api/v1"
CARD, CARD_IN_A_TEXT = "5555555555554444", "4242424242424242"


class Run:
    """A run of the platform, and the secrets that it used, by name."""

    def __init__(self, platform: Containers, given: dict[str, str]) -> None:
        self.platform = platform
        self.secrets: dict[str, str | bytes] = dict(given)
        # Addresses with tokens, and texts of merchants: the database must store them. They are in no log or trace.
        self.not_written: dict[str, str] = {}
        self.payment_no = ""
        merchant = _new_merchant(platform)
        self.shop = HttpShop(platform.url, **merchant)
        self.add_key("merchant", merchant)

    def add_key(self, name: str, key: dict[str, Any]) -> None:
        """Adds the key and its secret, complete and as their random parts alone."""
        for part in ("key", "secret"):
            self.secrets[f"{name} {part}"] = key[part]
            self.secrets[f"{name} {part}, its random part"] = key[part].rpartition("_")[2][:20]

    def send(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.shop.send(Write(f"{API}{path}", body)).data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    given = {
        "SECRET_KEY": secrets.token_urlsafe(48),
        "KEYED_HASH_SECRET": secrets.token_urlsafe(48),
        "SIMULATOR_WEBHOOK_SECRET": secrets.token_urlsafe(48),
        "PAYMENT_MASTER_KEYS": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "ADMIN_PASSWORD": secrets.token_urlsafe(24),
        "STRIPE_TEST_SECRET_KEY": f"sk_test_{secrets.token_hex(24)}",
        "STRIPE_TEST_WEBHOOK_SECRETS": f"whsec_{secrets.token_hex(24)}",
    }
    directory = tmp_path_factory.mktemp("leaks")
    with (
        fake_stripe() as stripe,
        containers(directory, **given, STRIPE_API_BASE=stripe.url, LOG_LEVEL="DEBUG") as platform,
        webhooks.Receiver() as endpoint,
    ):
        found = Run(platform, given)
        found.secrets["PAYMENT_MASTER_KEYS, decoded"] = base64.urlsafe_b64decode(given["PAYMENT_MASTER_KEYS"])
        _change_keys(found)
        _change_channel_accounts(found)
        _pay_and_refund(found, endpoint)
        _send_what_is_wrong(found)
        _sign_in(found)
        yield found


def _change_keys(run: Run) -> None:
    new = run.send("/merchant/api-keys", {"label": "second"})
    run.add_key("new key", new)
    run.add_key("rotated key", run.send(f"/merchant/api-keys/{new['id']}/rotate", {}))
    run.send(f"/merchant/api-keys/{new['id']}/revoke", {})


def _change_channel_accounts(run: Run) -> None:
    def credentials(name: str) -> dict[str, str]:
        own = {
            "secret_key": f"sk_test_{secrets.token_hex(24)}",
            "webhook_secrets": f"whsec_{secrets.token_hex(24)}",
        }
        run.secrets |= {f"{name} {field}": value for field, value in own.items()}
        return own

    body = {"channel": "stripe", "display_name": "Shop", "credentials": credentials("account")}
    account = run.send("/channel-accounts", body)
    run.send(f"/channel-accounts/{account['id']}/rotate", {"credentials": credentials("rotated account")})
    wrong = {**body, "credentials": {**credentials("wrong account"), "unknown": "field"}}
    assert run.shop.send(Write(f"{API}/channel-accounts", wrong)).status == 400
    run.send(f"/channel-accounts/{account['id']}/disable", {})


def _pay_and_refund(run: Run, endpoint: webhooks.Receiver) -> None:
    """Makes a payment with a lost answer, a decline and a refund. The endpoint refuses the first webhook."""
    endpoint.respond = lambda _webhook: webhooks.WebhookResponse(500 if len(endpoint.received) == 1 else 200)
    token = run.not_written["webhook endpoint"] = secrets.token_urlsafe(16)
    created = run.send("/webhook-endpoints", {"url": endpoint.url(f"/hook/{token}")})
    run.secrets["webhook secret"] = created["secret"]
    run.secrets["webhook secret, decoded"] = base64.b64decode(created["secret"].removeprefix("whsec_") + "==")
    number = run.send("/payments", payment("timeout_after").body)["payment_no"]
    opened = wait_until(lambda: _shown(run.shop, number, "payment_url"), PATIENCE_SECONDS, "the retry")
    run.not_written["payment page"] = urllib.parse.urlsplit(opened["payment_url"]).path.rpartition("/")[2]
    _pay(opened["payment_url"])
    wait_until(
        lambda: (_shown(run.shop, number, "status") or {}).get("status") == "succeeded",
        PATIENCE_SECONDS,
        "the channel's webhook",
    )
    assert run.shop.send(payment("decline")).status == 402
    run.send("/refunds", {"payment_no": number, "amount": 1, "reason": "a test"})
    wait_until(lambda: len(endpoint.received) >= 3, PATIENCE_SECONDS, "the deliveries")
    run.payment_no = number


def _send_what_is_wrong(run: Run) -> None:
    """Sends secrets in places for which they are not meant: wrong signatures, cards, foreign headers, broken bodies."""
    url, shop = run.platform.url, run.shop
    bearer, basic = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    encoded = base64.b64encode(f"user:{basic}".encode()).decode()
    run.secrets |= {"bearer token": bearer, "basic password": basic, "card number": CARD}
    run.not_written["card in a merchant's text"] = CARD_IN_A_TEXT
    for header in (f"Bearer {bearer}", f"Basic {encoded}"):
        for path in (f"{API}/payments", "/admin/", "/metrics"):
            requests.get(f"{url}{path}", headers={"Authorization": header}, timeout=PATIENCE_SECONDS)
    assert HttpShop(url, shop._signer.key, "wrong-secret-of-a-key").get(f"{API}/payments").status == 401
    assert HttpShop(url, shop._signer.secret, shop._signer.secret).get(f"{API}/payments").status == 401
    for body in ({"subject": f"card {CARD_IN_A_TEXT}"}, {"card_number": CARD}, {"amount": CARD}):
        assert shop.send(Write(f"{API}/payments", {**payment().body, **body})).status in (200, 400)
    broken = json.dumps({"secret": shop._signer.secret, "card": CARD})[:-1].encode()
    assert shop._request("POST", f"{API}/payments", broken, "broken").status == 400
    forged = {"Stripe-Signature": f"t=1,v1={secrets.token_hex(32)}", "Authorization": f"Bearer {bearer}"}
    for channel in ("simulator", "stripe"):
        answer = requests.post(
            f"{url}{API}/webhooks/{channel}", data=broken, headers=forged, timeout=PATIENCE_SECONDS
        )
        assert answer.status_code in (400, 401)


def _sign_in(run: Run) -> None:
    """The administrator types a wrong password, signs in, enrols a second factor and changes the password."""
    browser = requests.Session()
    password, new, wrong = run.secrets["ADMIN_PASSWORD"], secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    run.secrets |= {"new password": new, "wrong password": wrong}

    def post(path: str, **fields: Any) -> str:
        page = browser.get(f"{run.platform.url}{path}", timeout=PATIENCE_SECONDS)
        assert page.status_code == 200, (path, page.status_code)
        return post_at_once(path, **fields)

    def post_at_once(path: str, **fields: Any) -> str:
        token = browser.cookies.get("csrftoken")
        answer = browser.post(
            f"{run.platform.url}{path}",
            data={**fields, "csrfmiddlewaretoken": token},
            headers={"Referer": run.platform.url},
            timeout=PATIENCE_SECONDS,
        )
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    post("/admin/login/", username="admin", password=wrong)
    assert "sessionid" not in browser.cookies
    post("/admin/login/", username="admin", password=password)
    run.secrets["first session"] = browser.cookies["sessionid"]
    page = post_at_once("/admin/second-factor/begin/")
    typed = re.search(r'<code id="key">([A-Z2-7 ]+)</code>', page)
    assert typed, page
    seed = typed.group(1).replace(" ", "")
    key = base64.b32decode(seed + "=" * (-len(seed) % 8))
    run.secrets |= {"authenticator": seed, "authenticator, decoded": key}
    confirmed = post_at_once("/admin/second-factor/confirm/", token=f"{TOTP(key).token():06d}")
    codes = re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", confirmed)
    assert len(codes) == 10
    run.secrets |= {f"recovery code {number}": code for number, code in enumerate(codes)}
    changed = post("/admin/password_change/", old_password=password, new_password1=new, new_password2=new)
    assert "errorlist" not in changed
    run.secrets["second session"] = browser.cookies["sessionid"]
    run.secrets["form token"] = browser.cookies["csrftoken"]
    for path in ("/admin/gateway/payment/", "/admin/merchants/apikey/", "/admin/sessions/"):
        assert browser.get(f"{run.platform.url}{path}", timeout=PATIENCE_SECONDS).status_code == 200


def dump_database(platform: Containers) -> bytes:
    database = platform.environment("payment-gateway")
    program = postgres_binary("pg_dump", Account(os.getuid(), os.getgid()))
    login = {"PGHOST": "DB_HOST", "PGPORT": "DB_PORT", "PGUSER": "DB_USER", "PGPASSWORD": "DB_PASSWORD"}
    dumped = subprocess.run(
        [str(program), "--no-owner", database["DB_NAME"]],
        env={**os.environ, **{name: database[source] for name, source in login.items()}},
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    # Stored answers are bytes, which a dump has in hexadecimal.
    bodies = re.findall(rb"\\\\x([0-9a-f]+)", dumped.stdout)
    return dumped.stdout + b"\n".join(bytes.fromhex(each.decode()) for each in bodies)


def dump_redis(platform: Containers) -> bytes:
    environment = platform.environment("payment-gateway")
    client = redis.Redis(
        environment["REDIS_HOST"], int(environment["REDIS_PORT"]), int(environment["REDIS_DB"])
    )
    readers = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}
    found = b""
    for name in client.scan_iter(count=1000):
        kind = client.type(name)
        value = client.lrange(name, 0, -1) if kind == b"list" else readers.get(kind, lambda _name: b"")(name)
        found += name + (value if isinstance(value, bytes) else repr(value).encode()) + b"\n"
        for answer in re.findall(
            rb'body\\*": \\*"([A-Za-z0-9+/=]+)', value if isinstance(value, bytes) else b""
        ):
            found += base64.b64decode(answer)
    return found


def read_metrics(platform: Containers) -> bytes:
    ports = [platform.port, *platform.metrics_ports.values()]
    return b"".join(
        requests.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_SECONDS).content for port in ports
    )


def test_a_run_leaves_no_secret_behind(run: Run) -> None:
    platform, number = run.platform, run.payment_no
    wait_until(
        lambda: number.encode() in platform.collector.bytes, PATIENCE_SECONDS, "the spans of the payment"
    )
    sources = {
        **{f"log of {name}": (platform.directory / f"{name}.log").read_bytes() for name in LONG_RUNNING},
        "database dump": dump_database(platform),
        "Redis": dump_redis(platform),
        "traces": platform.collector.bytes,
        "events": b"\n".join(
            message.value + repr(message.headers).encode() for message in platform.kafka.everything()
        ),
        "metrics": read_metrics(platform),
    }
    for source in ("log of payment-sagas-test", "database dump", "traces", "events"):
        assert number.encode() in sources[source], f"{source} is not of this run"
    assert len(run.secrets) > 40
    written = {
        name: content for name, content in sources.items() if name.startswith(("log", "traces", "metrics"))
    }
    found = find_leaks(run.secrets, sources) + find_leaks(run.not_written, written)
    assert not found, "\n".join(map(str, found))


def test_the_search_would_find_a_leak(run: Run) -> None:
    """A secret is found in the dump of a table and in a log line into which the test writes it."""
    secret = str(run.secrets["webhook secret"])
    environment = run.platform.environment("payment-gateway")
    code = f"from merchants.models import Merchant; Merchant.objects.update(name='x' + {secret!r})"
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
    )
    found = find_leaks({"webhook secret": secret}, {"database dump": dump_database(run.platform)})
    assert [(leak.name, leak.form) for leak in found] == [("webhook secret", "plain")]
