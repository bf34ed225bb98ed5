"""The merchants and keys of one sandbox."""

import enum
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey


class SigningMode(enum.StrEnum):
    """What the answers and callbacks for a merchant are signed with.

    docs/partner/products/platform-certificate/update-pub-key.html. While a merchant switches, an answer uses the key
    that the request names in `Wechatpay-Serial`, and a growing share of the callbacks uses the public key.
    """

    CERTIFICATE = "certificate"
    SWITCHING = "switching"
    PUBLIC_KEY = "public_key"


@dataclass(frozen=True, slots=True)
class PlatformKeys:
    """WeChat Pay's own keys: the platform certificate, and the pair of the "WeChat Pay public key"."""

    certificate_key: RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate
    public_key_pair: RSAPrivateKey = field(repr=False)

    @property
    def certificate_serial(self) -> str:
        return format_serial(self.certificate)


@dataclass(slots=True)
class SandboxMerchant:
    """`certificate_serial` and `public_key` are those of the merchant's API certificate; `apiv3_key` has 32 bytes.

    `public_key_id` is the name of WeChat Pay's public key for this merchant. `callback_public_key_percent` applies
    while switching. `refund_notify_url` is the address set in the merchant platform, for refunds that name none.
    `fee_per_myriad` is the fee in ten-thousandths: 60 is 0.60 %.
    """

    mchid: str
    appid: str
    certificate_serial: str
    public_key: RSAPublicKey
    apiv3_key: str = field(repr=False)
    public_key_id: str
    name: str = "测试商户"
    signing_mode: SigningMode = SigningMode.PUBLIC_KEY
    callback_public_key_percent: float = 50
    refund_notify_url: str = ""
    fee_per_myriad: int = 60
    refund_seconds: float = 2


def format_serial(certificate: x509.Certificate) -> str:
    """The serial number as WeChat Pay writes it: 40 upper-case hexadecimal digits."""
    return f"{certificate.serial_number:040X}"
