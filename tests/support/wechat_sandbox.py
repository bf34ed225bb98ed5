"""The WeChat Pay sandbox in tests: keys made once in each process, and the SDK `wechatpayv3` as a client."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from wechatpayv3 import WeChatPay
from wechatpayv3.type import WeChatPayType

from channels.wechat.sandbox.bank import Bank
from channels.wechat.sandbox.callbacks import send_over_http
from channels.wechat.sandbox.keys import (
    MerchantIdentity,
    format_public_key,
    make_key,
    make_merchant,
    make_platform,
)
from channels.wechat.sandbox.merchants import PlatformKeys, SigningMode
from channels.wechat.sandbox.server import run_sandbox

FIRST_MCHID, SECOND_MCHID = "1900000109", "1900000209"


@functools.cache
def key_of(owner: str) -> RSAPrivateKey:
    return make_key()


@functools.cache
def platform_keys() -> PlatformKeys:
    return make_platform(key_of("platform certificate"), key_of("platform public key"))


def identity_of(mchid: str, signing_mode: SigningMode = SigningMode.PUBLIC_KEY) -> MerchantIdentity:
    serial = "40" + mchid.zfill(38)
    identity = make_merchant(
        mchid, key_of(mchid), serial=serial, apiv3_key=f"{mchid}-apiv3-key".ljust(32, "x")
    )
    identity.merchant.signing_mode = signing_mode
    return identity


class WechatSandbox:
    """A running sandbox with two merchants, and the merchants' own keys."""

    def __init__(self, bank: Bank, identities: dict[str, MerchantIdentity]) -> None:
        self.bank = bank
        self.identities = identities
        self.url = bank.base_url

    def sdk(self, mchid: str = FIRST_MCHID, *, certificates: Path | None = None) -> WeChatPay:
        """The SDK with the public key, or with the folder of platform certificates when one is given."""
        if certificates is not None:
            pem = self.bank.platform.certificate.public_bytes(Encoding.PEM).decode()
            (certificates / "platform.pem").write_text(pem)
            client = _make_sdk(mchid, cert_dir=str(certificates))
        else:
            client = _sdk_with_public_key(mchid)
        client._core._gate_way = self.url
        return client


@functools.cache
def _sdk_with_public_key(mchid: str) -> WeChatPay:
    """Made once, because it checks the keys, which takes 45 ms."""
    public_key = format_public_key(key_of("platform public key"))
    return _make_sdk(mchid, public_key=public_key, public_key_id=identity_of(mchid).merchant.public_key_id)


def _make_sdk(mchid: str, **options: Any) -> WeChatPay:
    identity = identity_of(mchid)
    return WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=mchid,
        private_key=identity.private_key_pem,
        cert_serial_no=identity.merchant.certificate_serial,
        apiv3_key=identity.merchant.apiv3_key,
        appid=identity.merchant.appid,
        notify_url="http://127.0.0.1:9/notify",
        timeout=(60, 60),
        **options,
    )


@contextmanager
def wechat_sandbox(**options: Any) -> Iterator[WechatSandbox]:
    """Runs a sandbox with books in memory and without the scheduler, unless the options of `run_sandbox` say else."""
    identities = {mchid: identity_of(mchid) for mchid in (FIRST_MCHID, SECOND_MCHID)}
    options = {"has_scheduler": False, "send_callback": send_over_http, **options}
    with run_sandbox(platform_keys(), [entry.merchant for entry in identities.values()], **options) as bank:
        yield WechatSandbox(bank, identities)
