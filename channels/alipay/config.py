"""The credentials of an account at Alipay, and the address of its gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext_noop

from channels.alipay import signing
from channels.alipay.signing import InvalidKey
from channels.base import LIVE, TEST, ChannelAccount, CredentialField

# opendocs.alipay.com/open/270/105899 (production) and opendocs.alipay.com/common/02kkv7 (Alipay's own sandbox).
MAX_APP_ID = 32  # docs.open.alipay.com/api_1/alipay.trade.query, common parameters: String(32)
_GATEWAYS = {
    LIVE: "https://openapi.alipay.com/gateway.do",
    TEST: "https://openapi-sandbox.dl.alipaydev.com/gateway.do",
}
CREDENTIAL_FIELDS = (
    CredentialField("app_id", gettext_noop("App id (APPID)"), is_secret=False, names_account=True),
    CredentialField(
        "seller_id",
        gettext_noop("Seller id (PID)"),
        is_secret=False,
        help_text=gettext_noop("The 16 digits of the account that takes the money. They begin with 2088."),
    ),
    CredentialField("private_key", gettext_noop("Application's private key (RSA2)"), is_multiline=True),
    CredentialField(
        "alipay_public_key",
        gettext_noop("Alipay's public key"),
        is_secret=False,
        is_multiline=True,
        help_text=gettext_noop(
            "Shown by Alipay for the application. It is not the application's public key."
        ),
    ),
)
# The ends of the names of the settings.
_SETTINGS = {
    "app_id": "APP_ID",
    "seller_id": "SELLER_ID",
    "private_key": "APP_PRIVATE_KEY",
    "alipay_public_key": "ALIPAY_PUBLIC_KEY",
}


class WrongCredential(Exception):
    """A credential is missing, or cannot be what its name says."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True, slots=True)
class AlipayCredentials:
    """`alipay_public_keys`: the newest first, several while they are being rotated."""

    app_id: str
    seller_id: str
    private_key: str
    alipay_public_keys: tuple[str, ...]
    gateway_url: str


def read_credentials(account: ChannelAccount) -> AlipayCredentials:
    """Raises `WrongCredential` when the channel cannot act with the account's credentials."""
    given = {name: value.strip() for name, value in account.credentials.items()}
    for field in CREDENTIAL_FIELDS:
        if not given.get(field.name):
            raise WrongCredential(field.name, "it is missing")
    if not (given["app_id"].isascii() and given["app_id"].isdigit() and len(given["app_id"]) <= MAX_APP_ID):
        raise WrongCredential("app_id", f"it is not a number of at most {MAX_APP_ID} digits")
    seller_id = given["seller_id"]
    if not (seller_id.isascii() and seller_id.isdigit() and len(seller_id) == 16 and seller_id[:4] == "2088"):
        raise WrongCredential("seller_id", "it is not 16 digits that begin with 2088")
    previous_key = account.previous_credentials.get("alipay_public_key", "").strip()
    public_keys = tuple(key for key in (given["alipay_public_key"], previous_key) if key)
    try:
        signing.load_private_key(given["private_key"])
    except InvalidKey as error:
        raise WrongCredential("private_key", str(error)) from error
    try:
        for key in public_keys:
            signing.load_public_key(key)
    except InvalidKey as error:
        raise WrongCredential("alipay_public_key", str(error)) from error
    return AlipayCredentials(
        app_id=given["app_id"],
        seller_id=seller_id,
        private_key=given["private_key"],
        alipay_public_keys=public_keys,
        gateway_url=get_gateway_url(account.environment),
    )


def get_gateway_url(environment: str) -> str:
    url: str = settings.ALIPAY_GATEWAY_URL or _GATEWAYS[environment]
    return url


def is_production(gateway_url: str) -> bool:
    """Alipay's sandbox (alipaydev.com) moves no real money (opendocs.alipay.com/common/02kkv7)."""
    host = urlsplit(gateway_url).hostname or ""
    return f".{host}".endswith(".alipay.com")


def get_platform_credentials(environment: str) -> Mapping[str, str]:
    credentials: Mapping[str, str] = settings.ALIPAY_CREDENTIALS[environment]
    return credentials


def find_missing_setting(environment: str) -> str:
    """The name of the first setting of the platform's own account that is not set; empty when it is complete."""
    given = get_platform_credentials(environment)
    missing = next((field.name for field in CREDENTIAL_FIELDS if not given.get(field.name)), "")
    return f"ALIPAY_{environment.upper()}_{_SETTINGS[missing]}" if missing else ""
