"""Makes keys and certificates, and keeps them in the sandbox's data folder."""

import datetime as dt
import json
import os
import secrets
import string
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from channels.wechat.sandbox.merchants import PlatformKeys, SandboxMerchant, format_serial

_VALID_DAYS = 5 * 365  # "平台证书有效期为5年"


@dataclass(frozen=True, slots=True)
class MerchantIdentity:
    """A merchant with the private key that only the merchant has."""

    merchant: SandboxMerchant
    private_key: RSAPrivateKey = field(repr=False)

    @property
    def private_key_pem(self) -> str:
        return format_private_key(self.private_key)


def make_key() -> RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def format_private_key(key: RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def format_public_key(key: RSAPrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_certificate(key: RSAPrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(int(secrets.token_hex(20), 16) >> 1 | 1 << 158)  # 40 digits, as WeChat Pay's
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .sign(key, hashes.SHA256())
    )


def make_platform(certificate_key: RSAPrivateKey, public_key_pair: RSAPrivateKey) -> PlatformKeys:
    return PlatformKeys(
        certificate_key, make_certificate(certificate_key, "Tenpay.com Root CA"), public_key_pair
    )


def make_merchant(
    mchid: str, key: RSAPrivateKey, *, apiv3_key: str = "", serial: str = "", name: str = "测试商户"
) -> MerchantIdentity:
    """The serial is that of the merchant's API certificate; the id of the public key holds the mchid, as in reality."""
    merchant = SandboxMerchant(
        mchid=mchid,
        appid=f"wx{mchid:0>16}",
        certificate_serial=serial or format_serial(make_certificate(key, mchid)),
        public_key=key.public_key(),
        apiv3_key=apiv3_key or make_apiv3_key(),
        public_key_id=f"PUB_KEY_ID_01{mchid}{'20260101':0>22}",
        name=name,
    )
    return MerchantIdentity(merchant, key)


def make_apiv3_key() -> str:
    """32 letters and digits: "微信支付使用的密钥key长度为32个字节", wiki/doc/apiv3/apis/chapter3_2_5.shtml."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(32))


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """The keys of a sandbox that runs as a process: made at its first start, the same ever after."""

    platform: PlatformKeys
    identities: tuple[MerchantIdentity, ...]


def load_or_create(folder: Path, mchids: list[str]) -> KeyFolder:
    """Reads the keys of these merchants from `folder`, and makes those that are missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate_key = _load_or_create_key(folder / "platform_certificate_key.pem")
    public_key_pair = _load_or_create_key(folder / "platform_public_key_pair.pem")
    certificate_file = folder / "platform_certificate.pem"
    if not certificate_file.exists():
        certificate = make_certificate(certificate_key, "Tenpay.com Root CA")
        write_secretly(certificate_file, certificate.public_bytes(Encoding.PEM).decode())
    platform = PlatformKeys(
        certificate_key, x509.load_pem_x509_certificate(certificate_file.read_bytes()), public_key_pair
    )
    return KeyFolder(platform, tuple(_load_or_create_merchant(folder, mchid) for mchid in mchids))


def _load_or_create_merchant(folder: Path, mchid: str) -> MerchantIdentity:
    key = _load_or_create_key(folder / f"merchant_{mchid}_key.pem")
    values_file = folder / f"merchant_{mchid}.json"
    if not values_file.exists():
        identity = make_merchant(mchid, key)
        values = {"serial": identity.merchant.certificate_serial, "apiv3_key": identity.merchant.apiv3_key}
        write_secretly(values_file, json.dumps(values))
    values = json.loads(values_file.read_text())
    return make_merchant(mchid, key, serial=values["serial"], apiv3_key=values["apiv3_key"])


def _load_or_create_key(file: Path) -> RSAPrivateKey:
    if not file.exists():
        write_secretly(file, format_private_key(make_key()))
    key = load_pem_private_key(file.read_bytes(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def write_secretly(file: Path, text: str) -> None:
    """Writes a whole file or none, which only its owner can read."""
    partial = file.with_suffix(".new")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    partial.rename(file)
