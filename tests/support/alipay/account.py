"""An account at Alipay for tests. The key of "Alipay" signs what a test lets Alipay say.

The keys are for tests only; both SDK and channel read them as bare base64.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from channels.alipay import signing
from channels.base import ChannelAccount

KEYS: dict[str, str] = json.loads((Path(__file__).parent / "keys.json").read_text())
APP_ID, SELLER_ID = "2021000000000001", "2088000000000001"
CREDENTIALS = {
    "app_id": APP_ID,
    "seller_id": SELLER_ID,
    "private_key": KEYS["application_private_key_pkcs1"],
    "alipay_public_key": KEYS["alipay_public_key"],
}
ACCOUNT = ChannelAccount(
    "test", credentials=CREDENTIALS, webhook_url="https://pay.example/api/v1/webhooks/alipay"
)


def sign_as_alipay(content: str) -> str:
    return signing.sign_text(content, signing.load_private_key(KEYS["alipay_private_key_pkcs1"]))


def build_notice(**changes: str) -> dict[str, str]:
    """The fields of a notice about a paid trade, signed by Alipay. An empty value leaves the field out."""
    fields = {
        "app_id": APP_ID,
        "charset": "utf-8",
        "gmt_create": "2026-11-28 12:34:50",
        "gmt_payment": "2026-11-28 12:35:00",
        "notify_id": "2026112800222123500000000000000001",
        "notify_time": "2026-11-28 12:35:01",
        "notify_type": "trade_status_sync",
        "out_trade_no": "PAY_20261128_000001",
        "seller_id": SELLER_ID,
        "sign_type": "RSA2",
        "subject": "咖啡 + 1",
        "total_amount": "88.88",
        "trade_no": "2026112822001400000000000001",
        "trade_status": "TRADE_SUCCESS",
        "version": "1.0",
        **changes,
    }
    fields = {name: value for name, value in fields.items() if value}
    names = sorted(fields.keys() - {"sign_type"})
    return {**fields, "sign": sign_as_alipay("&".join(f"{name}={fields[name]}" for name in names))}


def encode_notice(fields: dict[str, str]) -> bytes:
    return urlencode(fields).encode()


def build_answer(method: str, fields: dict[str, Any]) -> bytes:
    """A signed answer of the gateway."""
    inner = json.dumps(fields, ensure_ascii=False)
    signature = sign_as_alipay(inner)
    return f'{{"{method.replace(".", "_")}_response":{inner},"sign":"{signature}"}}'.encode()
