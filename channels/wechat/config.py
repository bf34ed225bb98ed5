"""The credentials of an account at WeChat Pay, and the settings of the platform's own account.

What each of them is: pay.weixin.qq.com/doc/v3/merchant/4013070756 (开发必要参数说明).
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.conf import settings
from django.utils.translation import gettext_noop

from channels.base import ChannelAccount, CredentialField

PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
API_V3_KEY_BYTES = 32

CREDENTIAL_FIELDS = (
    CredentialField("mch_id", gettext_noop("Merchant number (mchid)"), is_secret=False, names_account=True),
    CredentialField("app_id", gettext_noop("App id (appid)"), is_secret=False),
    CredentialField("api_v3_key", gettext_noop("APIv3 key")),
    CredentialField("private_key", gettext_noop("Private key (apiclient_key.pem)"), is_multiline=True),
    CredentialField(
        "certificate_serial_no", gettext_noop("Serial number of the API certificate"), is_secret=False
    ),
    CredentialField(
        "public_key_id",
        gettext_noop("Id of WeChat Pay's public key"),
        is_secret=False,
        is_required=False,
        help_text=gettext_noop("Empty for an account that uses platform certificates."),
    ),
    CredentialField(
        "public_key",
        gettext_noop("WeChat Pay's public key (pub_key.pem)"),
        is_secret=False,
        is_multiline=True,
        is_required=False,
    ),
)

_MERCHANT_ID = re.compile(r"[0-9]{8,10}")
_APP_ID = re.compile(r"wx[0-9A-Za-z]{1,30}")
_SERIAL_NO = re.compile(r"[0-9A-Fa-f]{1,64}")


class UnusableCredentials(Exception):
    """A credential is missing or has the wrong form."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class WechatCredentials:
    """`public_keys` are WeChat Pay's by their ids: the present one, and the previous one during a rotation.
    `api_v3_keys` likewise, the present one first."""

    merchant_id: str
    app_id: str
    certificate_serial_no: str
    private_key: RSAPrivateKey
    api_v3_keys: tuple[bytes, ...]
    public_key_id: str
    public_keys: Mapping[str, RSAPublicKey]


def read_credentials(account: ChannelAccount) -> WechatCredentials:
    """Raises `UnusableCredentials`."""
    values = account.credentials
    for field in CREDENTIAL_FIELDS:
        if field.is_required and not values.get(field.name):
            raise UnusableCredentials(field.name, f"{field.name} is missing.")
    _require_match(_MERCHANT_ID, values, "mch_id", "8 to 10 digits")
    _require_match(_APP_ID, values, "app_id", "wx and up to 30 letters and digits")
    _require_match(_SERIAL_NO, values, "certificate_serial_no", "up to 64 hexadecimal digits")
    public_keys, api_v3_keys = _read_public_key(values), [_read_api_v3_key(values)]
    previous = account.previous_credentials
    if previous.get("public_key"):
        public_keys = {**_read_public_key(previous), **public_keys}
    if previous.get("api_v3_key"):
        api_v3_keys.append(_read_api_v3_key(previous))
    return WechatCredentials(
        merchant_id=values["mch_id"],
        app_id=values["app_id"],
        certificate_serial_no=values["certificate_serial_no"],
        private_key=_load_private_key(values["private_key"]),
        api_v3_keys=tuple(dict.fromkeys(api_v3_keys)),
        public_key_id=values.get("public_key_id", ""),
        public_keys=public_keys,
    )


def get_platform_credentials(environment: str) -> Mapping[str, str]:
    """Returns the credentials of the platform's own account; without values when it is not set up."""
    credentials: Mapping[str, str] = settings.WECHAT_CREDENTIALS[environment]
    return credentials


def get_unavailable_reason(environment: str) -> str | None:
    values = get_platform_credentials(environment)
    for field in CREDENTIAL_FIELDS:
        if field.is_required and not values.get(field.name):
            return f"WECHAT_{environment.upper()}_{field.name.upper()} is not set."
    return None


def get_api_base() -> str:
    base: str = settings.WECHAT_API_BASE
    return base.rstrip("/")


def is_production(api_base: str) -> bool:
    """Whether the address is WeChat Pay's own, its second host included."""
    host = urlsplit(api_base).hostname or ""
    return f".{host}".endswith((".weixin.qq.com", ".wechatpay.cn"))


def _require_match(pattern: re.Pattern[str], values: Mapping[str, str], name: str, form: str) -> None:
    if not pattern.fullmatch(values[name]):
        raise UnusableCredentials(name, f"{name} must be {form}.")


def _read_api_v3_key(values: Mapping[str, str]) -> bytes:
    key = values["api_v3_key"].encode()
    if len(key) != API_V3_KEY_BYTES:
        raise UnusableCredentials("api_v3_key", f"api_v3_key must have {API_V3_KEY_BYTES} characters.")
    return key


def _read_public_key(values: Mapping[str, str]) -> dict[str, RSAPublicKey]:
    key_id, pem = values.get("public_key_id", ""), values.get("public_key", "")
    if not key_id and not pem:
        return {}
    if not key_id.startswith(PUBLIC_KEY_PREFIX):
        raise UnusableCredentials("public_key_id", f"public_key_id must begin with {PUBLIC_KEY_PREFIX}.")
    return {key_id: _load_public_key(pem)}


# Loading a private key checks it, which takes milliseconds.
@functools.lru_cache(maxsize=512)
def _load_private_key(pem: str) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.strip().encode(), password=None)
    except (ValueError, TypeError) as error:
        raise UnusableCredentials("private_key", "private_key is not a private key in PEM.") from error
    if not isinstance(key, RSAPrivateKey):
        raise UnusableCredentials("private_key", "private_key is not an RSA key.")
    return key


@functools.lru_cache(maxsize=512)
def _load_public_key(pem: str) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem.strip().encode())
    except (ValueError, TypeError) as error:
        raise UnusableCredentials("public_key", "public_key is not a public key in PEM.") from error
    if not isinstance(key, RSAPublicKey):
        raise UnusableCredentials("public_key", "public_key is not an RSA key.")
    return key
