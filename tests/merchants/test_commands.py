"""The management commands. The printed curl command is parsed as a shell parses it, and sent."""

import json
import re
import shlex
from io import StringIO

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import Client

from merchants.models import ApiKey, Merchant

MERCHANT, KEYS = "/api/v1/merchant", "/api/v1/merchant/api-keys"


def run(*words: str, **options) -> str:
    out = StringIO()
    call_command(*words, stdout=out, no_color=True, **options)
    return out.getvalue()


def send(line: str):
    """Sends what curl would send."""
    words = shlex.split(line.replace("\\\n", ""))
    assert words[:3] == ["curl", "-sS", "-X"]
    method, url = words[3], words[4]
    options = list(zip(words[5::2], words[6::2], strict=True))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    body = "".join(value for name, value in options if name == "--data-binary")
    path = re.sub("^http://[^/]*", "", url)
    content_type = headers.pop("Content-Type", "application/json")
    return Client().generic(method, path, body.encode(), content_type=content_type, headers=headers)


class TestCreateMerchant:
    def test_the_printed_commands_work(self, db, monkeypatch):
        printed = run("create_merchant", "--name", "Acme", "--email", "Owner@Example.com")
        merchant = Merchant.objects.get(email="owner@example.com")
        assert str(merchant.pk) in printed
        exports = dict(re.findall(r"export (PAYMENT_API_\w+)=(\S+)", printed))
        for name, value in exports.items():
            monkeypatch.setenv(name, value)
        suggested = shlex.split(printed.strip().splitlines()[-1])
        answer = send(run(*suggested[2:]))
        assert answer.json()["data"]["id"] == str(merchant.pk)
        assert len(re.findall(r"[ps]k_(?:test|live)_\w+", printed)) == 6  # four, and two again to try

    def test_an_invalid_argument_is_named(self, db):
        run("create_merchant", "--name", "Acme", "--email", "a@example.com")
        for name, email, problem in (
            ("Acme", "a@example.com", "a@example.com"),
            ("Acme", "nonsense", "email:"),
            ("", "b@example.com", "name:"),
        ):
            with pytest.raises(CommandError, match=problem):
                run("create_merchant", "--name", name, "--email", email)


class TestSignRequest:
    @pytest.fixture
    def credentials(self, acme) -> list[str]:
        return ["--key", acme.test_key.key, "--secret", acme.test_key.secret]

    def test_reads_and_writes(self, credentials, acme, tmp_path):
        assert send(run("sign_request", "get", MERCHANT, *credentials)).status_code == 200
        assert (
            send(run("sign_request", "GET", f"http://localhost:1{KEYS}?limit=5", *credentials)).status_code
            == 200
        )
        body = json.dumps({"label": 'it\'s a "测试" $HOME'}, ensure_ascii=False)
        answer = send(run("sign_request", "POST", KEYS, *credentials, "--data", body))
        assert answer.json()["data"]["label"] == 'it\'s a "测试" $HOME'
        file = tmp_path / "body.json"
        file.write_text(body)
        line = run(
            "sign_request", "POST", KEYS, *credentials, "--data", f"@{file}", "--idempotency-key", "k 1"
        )
        assert [send(line).status_code for _ in range(2)] == [200, 200]
        assert ApiKey.objects.filter(merchant=acme.merchant).count() == 4

    def test_unusual_urls_are_signed_as_curl_sends_them(self, credentials):
        for address in (f"{KEYS}?cursor=测", f"{KEYS}?cursor=a b", f"{KEYS}?cursor=%20", "/api/v1/a%2Fb/测"):
            assert send(run("sign_request", "GET", address, *credentials)).status_code in (400, 404)

    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["GET", "api/v1/merchant"], "begins with a slash"),
            (["POST", KEYS, "--data", "{"], "not valid JSON"),
            (["POST", KEYS, "--data", "@/nowhere"], "cannot be read: No such file"),
            (["POST", KEYS, "--idempotency-key", "ключ"], "printable ASCII"),
            (["FETCH", KEYS], "invalid choice"),
        ],
    )
    def test_an_invalid_argument_is_named(self, credentials, words, problem):
        with pytest.raises(CommandError, match=problem):
            run("sign_request", *words, *credentials)

    def test_keys_are_checked(self, acme, monkeypatch):
        monkeypatch.delenv("PAYMENT_API_KEY", raising=False)
        key, secret = acme.test_key.key, acme.test_key.secret
        for given, problem in (
            ({"secret": secret}, "--key or in PAYMENT_API_KEY"),
            ({"key": key[:-1] + "~", "secret": secret}, "typing error"),
            ({"key": secret, "secret": key}, "begins with pk_"),
            ({"key": "test-api-key", "secret": secret}, "X-Signature: test-signature"),
        ):
            with pytest.raises(CommandError, match=problem):
                run("sign_request", "GET", MERCHANT, **given)


class TestDemoCheck:
    @pytest.mark.parametrize(
        ("demo", "debug", "local", "refused"),
        [
            (True, False, False, True),
            (True, True, False, False),
            (True, False, True, False),
            (False, False, False, False),
        ],
    )
    def test_the_demo_key_needs_the_local_stack(self, settings, demo, debug, local, refused):
        settings.PAYMENT_DEMO, settings.DEBUG, settings.LOCAL_STACK = demo, debug, local
        found = [message for message in run_checks() if message.id == "merchants.E001"]
        assert bool(found) is refused


def test_the_usage_task_is_in_the_schedule(settings):
    from merchants.tasks import flush_key_usage

    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert flush_key_usage.name in scheduled
