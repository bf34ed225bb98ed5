"""Channels: which there are, time limits, circuit breaker, and the accounts at Stripe and the simulator."""

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings import secrets
from payment_platform.settings.base import LOCAL_STACK, PORT, env

# The class of each channel: docs/CHANNELS.md, "Add a channel".
CHANNELS = [
    "channels.simulator.channel.SimulatorChannel",
    "channels.stripe.channel.StripeChannel",
    "channels.alipay.channel.AlipayChannel",
    "channels.wechat.channel.WechatChannel",
    "channels.paypal.channel.PayPalChannel",
]
# The channel of a payment that names none, while no routing rule matches.
DEFAULT_CHANNELS = {"test": "simulator", "live": "stripe"}
# Time limit of one call to a channel, from connecting to the end of the answer.
CHANNEL_TIMEOUT_SECONDS: float = env.float("CHANNEL_TIMEOUT_SECONDS", default=10.0)
# Calls without an answer after which the circuit breaker opens: docs/ARCHITECTURE.md, "A channel that is down".
CHANNEL_BREAKER_FAULTS: int = env.int("CHANNEL_BREAKER_FAULTS", default=3)
# How long the breaker stays open at first; it doubles up to 30 seconds while the channel does not answer.
CHANNEL_BREAKER_PAUSE_SECONDS: float = env.float("CHANNEL_BREAKER_PAUSE_SECONDS", default=5.0)
# Calls to channels at a time in one process. Each takes a thread. One slow account gets at most half
# of them, one merchant a third.
CHANNEL_CALLS_PER_PROCESS: int = env.int("CHANNEL_CALLS_PER_PROCESS", default=256)
# The address to which the simulator sends its webhooks: this gateway.
SIMULATOR_WEBHOOK_URL: str = env.str(
    "SIMULATOR_WEBHOOK_URL", default=f"http://127.0.0.1:{PORT}/api/v1/webhooks/simulator"
)
# Signs the simulator's webhooks. Anyone who knows it can make a test payment succeed.
SIMULATOR_WEBHOOK_SECRET: str = secrets.secret(
    "SIMULATOR_WEBHOOK_SECRET",
    env.str("SIMULATOR_WEBHOOK_SECRET", default=""),
    local=LOCAL_STACK,
    default=secrets.LOCAL_WEBHOOK_SECRET,
)
# Stripe, per environment. Without a test key, the simulator serves test payments of channel "stripe".
STRIPE_SECRET_KEYS: dict[str, str] = {
    "test": env.str("STRIPE_TEST_SECRET_KEY", default=""),
    "live": env.str("STRIPE_LIVE_SECRET_KEY", default=""),
}
# The signing secrets of the webhook endpoint, newest first. During a rotation, give the new and the old one.
STRIPE_WEBHOOK_SECRETS: dict[str, list[str]] = {
    "test": env.list("STRIPE_TEST_WEBHOOK_SECRETS", default=[]),
    "live": env.list("STRIPE_LIVE_WEBHOOK_SECRETS", default=[]),
}
# The signing secrets of the Connect endpoint, which receives the events of the accounts that are connected to the
# platform's, newest first. Only an event that is signed with one of these may name another account.
STRIPE_CONNECT_WEBHOOK_SECRETS: dict[str, list[str]] = {
    "test": env.list("STRIPE_TEST_CONNECT_WEBHOOK_SECRETS", default=[]),
    "live": env.list("STRIPE_LIVE_CONNECT_WEBHOOK_SECRETS", default=[]),
}
# Another server with Stripe's API, for tests.
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="")
# Alipay, the platform's own account of each environment: the application's number.
_ALIPAY_APP_IDS = {
    "test": env.str("ALIPAY_TEST_APP_ID", default=""),
    "live": env.str("ALIPAY_LIVE_APP_ID", default=""),
}
# The 16 digits of the Alipay account that takes the money (PID); they begin with 2088.
_ALIPAY_SELLER_IDS = {
    "test": env.str("ALIPAY_TEST_SELLER_ID", default=""),
    "live": env.str("ALIPAY_LIVE_SELLER_ID", default=""),
}
# The application's RSA2 private key: PEM, or one line of base64 as Alipay's key tool saves it.
_ALIPAY_PRIVATE_KEYS = {
    "test": env.str("ALIPAY_TEST_APP_PRIVATE_KEY", default="", multiline=True),
    "live": env.str("ALIPAY_LIVE_APP_PRIVATE_KEY", default="", multiline=True),
}
# Alipay's public key, which its console shows for the application. It is not the application's public key.
_ALIPAY_PUBLIC_KEYS = {
    "test": env.str("ALIPAY_TEST_ALIPAY_PUBLIC_KEY", default="", multiline=True),
    "live": env.str("ALIPAY_LIVE_ALIPAY_PUBLIC_KEY", default="", multiline=True),
}
# By the names of `CREDENTIAL_FIELDS` in channels/alipay/config.py.
ALIPAY_CREDENTIALS: dict[str, dict[str, str]] = {
    environment: {
        "app_id": _ALIPAY_APP_IDS[environment],
        "seller_id": _ALIPAY_SELLER_IDS[environment],
        "private_key": _ALIPAY_PRIVATE_KEYS[environment],
        "alipay_public_key": _ALIPAY_PUBLIC_KEYS[environment],
    }
    for environment in ("test", "live")
}
# Another server with Alipay's gateway, for tests. Empty: Alipay's own, and for test keys Alipay's sandbox.
ALIPAY_GATEWAY_URL: str = env.str("ALIPAY_GATEWAY_URL", default="")
for _environment, _key in STRIPE_SECRET_KEYS.items():
    if _key and not _key.startswith((f"sk_{_environment}_", f"rk_{_environment}_")):
        raise ImproperlyConfigured(
            f"STRIPE_{_environment.upper()}_SECRET_KEY is not a {_environment} key: such a key begins with"
            f" sk_{_environment}_ or rk_{_environment}_."
        )
for _environment, _secrets in STRIPE_CONNECT_WEBHOOK_SECRETS.items():
    if set(_secrets) & set(STRIPE_WEBHOOK_SECRETS["test"] + STRIPE_WEBHOOK_SECRETS["live"]):
        raise ImproperlyConfigured(
            f"STRIPE_{_environment.upper()}_CONNECT_WEBHOOK_SECRETS has a secret of another endpoint: the Connect"
            " endpoint has a signing secret of its own."
        )
# WeChat Pay (微信支付), the platform's own account, per environment: docs/CHANNELS.md, "WeChat Pay". WeChat Pay has no
# test mode: the account of `test` moves real money, unless WECHAT_API_BASE is a sandbox.
WECHAT_CREDENTIALS: dict[str, dict[str, str]] = {
    "test": {
        # The merchant number (mchid).
        "mch_id": env.str("WECHAT_TEST_MCH_ID", default=""),
        # The appid that is bound to the merchant number.
        "app_id": env.str("WECHAT_TEST_APP_ID", default=""),
        # Decrypts callbacks and platform certificates; 32 characters.
        "api_v3_key": env.str("WECHAT_TEST_API_V3_KEY", default=""),
        # The content of apiclient_key.pem; line breaks may be written as \\n.
        "private_key": env.str("WECHAT_TEST_PRIVATE_KEY", multiline=True, default=""),
        # The serial number of the API certificate that belongs to the private key.
        "certificate_serial_no": env.str("WECHAT_TEST_CERTIFICATE_SERIAL_NO", default=""),
        # PUB_KEY_ID_…; empty while the account uses platform certificates.
        "public_key_id": env.str("WECHAT_TEST_PUBLIC_KEY_ID", default=""),
        # The content of pub_key.pem.
        "public_key": env.str("WECHAT_TEST_PUBLIC_KEY", multiline=True, default=""),
    },
    "live": {
        # The merchant number (mchid).
        "mch_id": env.str("WECHAT_LIVE_MCH_ID", default=""),
        # The appid that is bound to the merchant number.
        "app_id": env.str("WECHAT_LIVE_APP_ID", default=""),
        # Decrypts callbacks and platform certificates; 32 characters.
        "api_v3_key": env.str("WECHAT_LIVE_API_V3_KEY", default=""),
        # The content of apiclient_key.pem; line breaks may be written as \\n.
        "private_key": env.str("WECHAT_LIVE_PRIVATE_KEY", multiline=True, default=""),
        # The serial number of the API certificate that belongs to the private key.
        "certificate_serial_no": env.str("WECHAT_LIVE_CERTIFICATE_SERIAL_NO", default=""),
        # PUB_KEY_ID_…; empty while the account uses platform certificates.
        "public_key_id": env.str("WECHAT_LIVE_PUBLIC_KEY_ID", default=""),
        # The content of pub_key.pem.
        "public_key": env.str("WECHAT_LIVE_PUBLIC_KEY", multiline=True, default=""),
    },
}
# The server of WeChat Pay's API. Another one that speaks APIv3, for tests; https://api2.mch.weixin.qq.com when the main
# one cannot be reached.
WECHAT_API_BASE: str = env.str("WECHAT_API_BASE", default="https://api.mch.weixin.qq.com")
# PayPal, the platform's own account of each environment: docs/CHANNELS.md, "PayPal".
PAYPAL_CREDENTIALS: dict[str, dict[str, str]] = {
    "test": {
        # The client id of the app in PayPal's sandbox.
        "client_id": env.str("PAYPAL_TEST_CLIENT_ID", default=""),
        # The app's secret.
        "client_secret": env.str("PAYPAL_TEST_CLIENT_SECRET", default=""),
        # The id that PayPal gives to the webhook address. Without it webhooks are refused.
        "webhook_id": env.str("PAYPAL_TEST_WEBHOOK_ID", default=""),
    },
    "live": {
        # The client id of the live app.
        "client_id": env.str("PAYPAL_LIVE_CLIENT_ID", default=""),
        # The live app's secret.
        "client_secret": env.str("PAYPAL_LIVE_CLIENT_SECRET", default=""),
        # The id of the live webhook address. Without it webhooks are refused.
        "webhook_id": env.str("PAYPAL_LIVE_WEBHOOK_ID", default=""),
    },
}
# Another server with PayPal's API, for tests. Empty: PayPal's own, and for test keys PayPal's sandbox.
PAYPAL_API_BASE: str = env.str("PAYPAL_API_BASE", default="")
