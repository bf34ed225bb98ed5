"""Signing in with a second factor: enrollment, codes, replacement, reset, and the lock-out."""

import re
from datetime import timedelta
from html import unescape

import pytest
from axes.models import AccessAttempt
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client, override_settings
from django.urls import reverse

from audit.models import StaffAction
from monitoring.tasks import prune_sessions
from staff import second_factor
from staff.models import MAX_COUNTED_FAILURES, Authenticator, RecoveryCode, StaffSession
from tests.office_access.conftest import PASSWORD, member
from tests.support.authenticators import compute_code
from tests.support.threads import in_background, wait_until, waiting_for_locks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_second_factor_required")]

LOGIN, PAYMENTS = "/admin/login/", "/admin/gateway/payment/"
PAGE = "/admin/second-factor/"


@pytest.fixture
def vera(_second_factor_required: None) -> User:
    return member("vera", "Viewer", password=PASSWORD)


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def sign_in(client: Client, token: str = "", *, password: str = PASSWORD, name: str = "vera", **extra: str):
    return client.post(LOGIN, {"username": name, "password": password, "otp_token": token}, **extra)


def enrol(client: Client, user: User) -> tuple[bytes, list[str]]:
    """Enrols as a person does on the page. Returns the key and the recovery codes."""
    shown = unescape(client.post(f"{PAGE}begin/").content.decode())
    assert "<svg" in shown
    key = second_factor.get_pending_enrollment(user=user).key
    confirmed = client.post(f"{PAGE}confirm/", {"token": compute_code(key)}).content.decode()
    codes = re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", confirmed)
    assert len(codes) == 10
    return key, codes


def test_without_a_second_factor_only_enrollment_is_reachable(vera: User) -> None:
    client = browser()
    assert sign_in(client).status_code == 302
    for address in ("/admin/", PAYMENTS, "/admin/password_change/", "/admin/no-such-page/"):
        assert client.get(address)["Location"] == PAGE
    enrol(client, vera)
    assert client.get(PAYMENTS).status_code == 200


def test_after_enrollment_a_code_is_required_and_works_once(vera: User) -> None:
    first = browser()
    sign_in(first)
    key, _codes = enrol(first, vera)
    second = browser()
    without = sign_in(second)
    assert without.status_code == 200
    assert "Enter the code" in unescape(without.content.decode())
    assert "is wrong" in unescape(sign_in(second, compute_code(key)).content.decode()), (
        "the enrollment used this code"
    )
    assert second.get(PAYMENTS)["Location"].startswith(LOGIN)
    fresh = compute_code(key, steps_ahead=1)
    assert sign_in(second, fresh).status_code == 302
    assert second.get(PAYMENTS).status_code == 200
    assert sign_in(browser(), fresh).status_code == 200, "a code works once"


def test_a_recovery_code_works_once(vera: User) -> None:
    first = browser()
    sign_in(first)
    _key, codes = enrol(first, vera)
    other = browser()
    assert sign_in(other, codes[3].upper()).status_code == 302
    assert other.get(PAYMENTS).status_code == 200
    assert sign_in(browser(), codes[3]).status_code == 200
    assert RecoveryCode.objects.count() == 9


def test_new_recovery_codes_replace_the_old_ones(vera: User) -> None:
    client = browser()
    sign_in(client)
    key, codes = enrol(client, vera)
    refused = client.post(f"{PAGE}codes/", {"token": "000000"})
    assert refused.status_code == 302
    shown = client.post(f"{PAGE}codes/", {"token": compute_code(key, steps_ahead=1)}).content.decode()
    assert len(re.findall(r"<code>[a-z0-9]{5}-[a-z0-9]{5}</code>", shown)) == 10
    assert sign_in(browser(), codes[0]).status_code == 200


def test_a_password_alone_cannot_replace_the_second_factor(vera: User) -> None:
    """The old session began before the person enrolled a second factor in another browser."""
    old, new = browser(), browser()
    sign_in(old)
    sign_in(new)
    enrol(new, vera)
    answer = old.post(f"{PAGE}begin/")
    assert answer["Location"].startswith(LOGIN)
    assert Authenticator.objects.filter(confirmed=False).count() == 0
    assert old.get(PAYMENTS)["Location"].startswith(LOGIN), "the old session is signed out"


def test_the_wait_after_wrong_codes_grows_up_to_a_limit(vera: User, settings) -> None:  # type: ignore[no-untyped-def]
    client = browser()
    sign_in(client)
    key, _codes = enrol(client, vera)
    for _wrong in range(MAX_COUNTED_FAILURES + 3):
        second_factor.check_code(user=vera, token="000000")
    device = Authenticator.objects.get()
    assert device.throttling_failure_count == MAX_COUNTED_FAILURES
    settings.STAFF_OTP_THROTTLE_SECONDS = 1
    right = compute_code(key, steps_ahead=1)
    assert second_factor.check_code(user=vera, token=right).outcome is second_factor.CodeOutcome.WRONG
    settings.STAFF_OTP_THROTTLE_SECONDS = 0
    assert second_factor.check_code(user=vera, token=right).outcome is second_factor.CodeOutcome.ACCEPTED


def test_a_code_used_three_times_at_once_is_accepted_once(vera: User) -> None:
    client = browser()
    sign_in(client)
    key, codes = enrol(client, vera)
    for code in (compute_code(key, steps_ahead=1), codes[0]):
        with transaction.atomic():
            Authenticator.objects.select_for_update().get()
            checks = [
                in_background(lambda code=code: second_factor.check_code(user=vera, token=code))
                for _ in range(3)
            ]
            wait_until(lambda: waiting_for_locks() == 3, seconds=60)
        outcomes = [check.result(60).outcome for check in checks]
        assert outcomes.count(second_factor.CodeOutcome.ACCEPTED) == 1


def test_no_secret_of_a_second_factor_is_stored_in_the_clear(vera: User) -> None:
    client = browser()
    sign_in(client)
    key, codes = enrol(client, vera)
    with connection.cursor() as cursor:
        dump = ""
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT coalesce(string_agg(row::text, chr(10)), $$$$) FROM "{table}" AS row')
            dump += cursor.fetchone()[0]
    assert "second_factor.enrolled" in dump
    secrets = [key.hex(), *codes, *(code.replace("-", "") for code in codes)]
    assert not [secret for secret in secrets if secret in dump]


def test_pages_with_secrets_are_not_cached(vera: User) -> None:
    client = browser()
    sign_in(client)
    answer = client.post(f"{PAGE}begin/")
    assert "no-store" in answer["Cache-Control"]
    assert "script-src 'self' 'unsafe-eval'" in answer["Content-Security-Policy"]
    assert "http" not in re.sub(
        r'xmlns="[^"]+"', "", answer.content.decode().split("<svg")[1].split("</svg>")[0]
    )


def test_a_second_factor_is_not_required_on_the_local_stack(vera: User, settings) -> None:  # type: ignore[no-untyped-def]
    settings.STAFF_OTP_REQUIRED = False
    client = browser()
    assert sign_in(client).status_code == 302
    assert client.get(PAYMENTS).status_code == 200
    enrol(client, vera)
    assert sign_in(browser()).status_code == 200, "a user who has enrolled must enter a code all the same"


@pytest.mark.parametrize(
    ("local", "required", "refused"), [(True, False, 0), (False, True, 0), (False, False, 1)]
)
def test_production_does_not_start_without_a_second_factor(local: bool, required: bool, refused: int) -> None:
    with override_settings(LOCAL_STACK=local, STAFF_OTP_REQUIRED=required, PAYMENT_DEMO=False):
        assert len([error for error in run_checks() if error.id == "access.E001"]) == refused


class TestLockOut:
    def fail(self, times: int, address: str) -> int:
        status = 0
        for _attempt in range(times):
            status = sign_in(browser(), password="guess", REMOTE_ADDR=address).status_code
        return status

    def test_only_the_address_of_the_wrong_attempts_is_locked_out(self, vera: User, settings) -> None:  # type: ignore[no-untyped-def]
        settings.STAFF_OTP_REQUIRED = False
        assert self.fail(settings.AXES_FAILURE_LIMIT, "198.51.100.9") == 429
        locked = sign_in(browser(), REMOTE_ADDR="198.51.100.9")
        assert locked.status_code == 429, "even with the right password"
        assert "Too many failed attempts" in locked.content.decode()
        assert sign_in(browser(), REMOTE_ADDR="203.0.113.5").status_code == 302

    def test_another_user_name_from_that_address_is_not_locked_out(self, vera: User, settings) -> None:  # type: ignore[no-untyped-def]
        settings.STAFF_OTP_REQUIRED = False
        member("carl", "Viewer", password=PASSWORD)
        self.fail(settings.AXES_FAILURE_LIMIT, "198.51.100.9")
        assert sign_in(browser(), name="carl", REMOTE_ADDR="198.51.100.9").status_code == 302

    def test_wrong_codes_count_towards_the_lock_out(self, vera: User) -> None:
        client = browser()
        sign_in(client)
        enrol(client, vera)
        answers = [
            sign_in(browser(), "000000").status_code for _ in range(django_settings.AXES_FAILURE_LIMIT)
        ]
        assert answers[-1] == 429

    def test_no_password_or_code_of_an_attempt_is_stored(self, vera: User) -> None:
        sign_in(browser(), "123456", password="a-guess-of-mine")
        kept = str(AccessAttempt.objects.values().get())
        assert "vera" in kept
        assert "a-guess-of-mine" not in kept
        assert "123456" not in kept


def test_changes_of_a_second_factor_are_in_the_audit_log(vera: User) -> None:
    client = browser()
    sign_in(client)
    enrol(client, vera)
    assert list(StaffAction.objects.values_list("actor", "action", "object_id")) == [
        ("vera", "second_factor.enrolled", "vera")
    ]


def test_expired_sessions_are_deleted(vera: User) -> None:
    kept, ended = browser(), browser()
    sign_in(ended)
    StaffSession.objects.update(expire_date=Now() - timedelta(seconds=1))
    sign_in(kept)
    prune_sessions()
    assert StaffSession.objects.count() == 1
    assert kept.get(PAGE).status_code == 200


def test_the_pages_require_a_session() -> None:
    for address in (PAGE, f"{PAGE}begin/", f"{PAGE}confirm/", f"{PAGE}codes/"):
        for answer in (browser().get(address), browser().post(address, {"token": "1"})):
            assert answer.status_code in (302, 405)
            assert reverse("admin:login") in answer.headers.get("Location", reverse("admin:login"))
