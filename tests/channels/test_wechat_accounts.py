"""Accounts at WeChat Pay: the keys of WeChat Pay, also during a rotation, and the check of credentials."""

from typing import Any

import pytest

from channels.base import (
    ChannelAccount,
    CredentialsAccepted,
    CredentialsRefused,
    CredentialsUnchecked,
    Reported,
    UnknownOutcome,
)
from channels.wechat.channel import WechatChannel
from tests.support.waiting import PATIENCE_SECONDS
from tests.support.wechat import keys
from tests.support.wechat.keys import build_account
from tests.support.wechat.messages import build_ref, error_body, order_body
from tests.support.wechat.server import PlannedServer, sign_headers

channel = WechatChannel()


class TestPlatformCertificates:
    """Accounts without WeChat Pay's public key, and those that switch to it."""

    @pytest.fixture
    def account(self) -> ChannelAccount:
        return build_account(with_public_key=False)

    def plan_signed(self, planned: PlannedServer, owner: str, **options: Any) -> None:
        body = order_body("SUCCESS")
        number = keys.serial_no(keys.make_certificate(owner, **options))
        planned.plan(200, body, headers=sign_headers(body.encode(), owner=owner, serial_no=number))

    def plan_certificates(self, planned: PlannedServer, *owners: str, **options: Any) -> None:
        certificates = [keys.make_certificate(owner, **options) for owner in owners]
        planned.plan(200, keys.build_certificates_answer(*certificates), headers={})

    def test_certificates_are_downloaded_once(self, planned: PlannedServer, account: ChannelAccount) -> None:
        self.plan_signed(planned, "platform")
        self.plan_certificates(planned, "platform", "other")
        assert isinstance(channel.find_payment(build_ref(account)), Reported)
        self.plan_signed(planned, "other")
        assert isinstance(channel.find_payment(build_ref(account)), Reported)
        assert [each.path for each in planned.requests].count("/v3/certificates") == 1

    def test_an_unknown_certificate_is_downloaded_at_most_once_a_minute(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "other")
        self.plan_certificates(planned, "platform")
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)
        self.plan_signed(planned, "other")
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_an_expired_certificate_proves_nothing(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "platform", valid_days=-1)
        self.plan_certificates(planned, "platform", valid_days=-1)
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_certificates_that_the_key_does_not_decrypt_prove_nothing(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        self.plan_signed(planned, "platform")
        certificate = keys.make_certificate("platform")
        planned.plan(200, keys.build_certificates_answer(certificate, api_v3_key="o" * 32), headers={})
        assert isinstance(channel.find_payment(build_ref(account)), UnknownOutcome)

    def test_an_account_with_a_wrong_key_delays_no_other_of_the_same_merchant(
        self, planned: PlannedServer, account: ChannelAccount
    ) -> None:
        wrong = keys.build_credentials(with_public_key=False, api_v3_key="o" * 32)
        for each, outcome in ((build_account(credentials=wrong), UnknownOutcome), (account, Reported)):
            self.plan_signed(planned, "platform")
            self.plan_certificates(planned, "platform")
            assert isinstance(channel.find_payment(build_ref(each)), outcome)

    def test_both_kinds_are_accepted_while_switching(self, planned: PlannedServer) -> None:
        """Until the switch is on, WeChat Pay signs with the certificate, although the request names the public key."""
        self.plan_signed(planned, "platform")
        self.plan_certificates(planned, "platform")
        planned.plan(200, order_body("SUCCESS"))
        for _ in range(2):
            assert isinstance(channel.find_payment(build_ref()), Reported)

    def test_the_previous_public_key_is_accepted_during_a_rotation(self, planned: PlannedServer) -> None:
        old = keys.build_credentials(public_key_id="PUB_KEY_ID_OLD", public_key=keys.public_pem("other"))
        body = order_body("SUCCESS")
        planned.plan(
            200, body, headers=sign_headers(body.encode(), owner="other", serial_no="PUB_KEY_ID_OLD")
        )
        account = build_account(previous_credentials=old)
        assert isinstance(channel.find_payment(build_ref(account)), Reported)


class TestCredentialCheck:
    def check(self, account: ChannelAccount | None = None) -> object:
        return channel.check_credentials(account or build_account(), PATIENCE_SECONDS)

    def test_a_signed_not_found_accepts_them(self, planned: PlannedServer) -> None:
        planned.plan(404, error_body("ORDER_NOT_EXIST"))
        assert self.check() == CredentialsAccepted(f"mchid {keys.MERCHANT_ID}")
        assert planned.requests[0].method == "GET"

    def test_a_wrong_key_or_serial_number(self, planned: PlannedServer) -> None:
        planned.plan(401, error_body("SIGN_ERROR"), headers={})
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "certificate_serial_no"

    def test_a_wrong_public_key(self, planned: PlannedServer) -> None:
        body = error_body("ORDER_NOT_EXIST")
        planned.plan(404, body, headers=sign_headers(body.encode(), owner="other"))
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "public_key"

    def test_a_wrong_apiv3_key(self, planned: PlannedServer) -> None:
        certificate, body = keys.make_certificate("platform"), error_body("ORDER_NOT_EXIST")
        signed = sign_headers(body.encode(), owner="platform", serial_no=keys.serial_no(certificate))
        planned.plan(404, body, headers=signed)
        planned.plan(200, keys.build_certificates_answer(certificate, api_v3_key="o" * 32), headers={})
        result = self.check(build_account(with_public_key=False))
        assert isinstance(result, CredentialsRefused)
        assert result.field == "api_v3_key"

    def test_a_wrong_merchant_number(self, planned: PlannedServer) -> None:
        planned.plan(400, error_body("MCH_NOT_EXISTS"))
        result = self.check()
        assert isinstance(result, CredentialsRefused)
        assert result.field == "mch_id"

    def test_no_answer_says_nothing(self, planned: PlannedServer) -> None:
        planned.plan(500, is_lost=True)
        assert isinstance(self.check(), CredentialsUnchecked)

    def test_a_probe_of_signatures_says_nothing(self, planned: PlannedServer) -> None:
        body = error_body("ORDER_NOT_EXIST")
        signature = {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/abc"}
        planned.plan(404, body, headers={**sign_headers(body.encode()), **signature})
        assert isinstance(self.check(), CredentialsUnchecked)

    def test_a_malformed_credential_is_refused_without_a_call(self, planned: PlannedServer) -> None:
        result = self.check(build_account(credentials=keys.build_credentials(api_v3_key="short")))
        assert isinstance(result, CredentialsRefused)
        assert result.field == "api_v3_key"
        assert not planned.requests
