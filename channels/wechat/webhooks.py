"""Verifies, decrypts and parses webhooks (回调通知: pay.weixin.qq.com/doc/v3/merchant/4012791865 for refunds)."""

import json
from typing import Any

import structlog

from channels.base import (
    Acknowledgement,
    ChannelAccount,
    ChannelUpdate,
    UnexpectedFormat,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.payloads import make_storable
from channels.wechat.client import Signature, SignatureProbe, UnverifiedAnswer, WechatClient
from channels.wechat.config import UnusableCredentials
from channels.wechat.encryption import DecryptionFailed, decrypt_resource
from channels.wechat.fields import read_object, read_text
from channels.wechat.payments import read_payment
from channels.wechat.refunds import read_refund

log = structlog.get_logger(__name__)

# WeChat Pay waits five seconds for the answer. Only a download of platform certificates takes time here, for the live
# account and for the test account.
VERIFICATION_SECONDS = 2.0
MAX_EVENT_ID = 36
PAID_EVENT = "TRANSACTION.SUCCESS"
REFUND_EVENTS = frozenset({"REFUND.SUCCESS", "REFUND.ABNORMAL", "REFUND.CLOSED"})

# 200 with a body is right for webhooks of both kinds; that of refunds needs none.
ACKNOWLEDGEMENT = Acknowledgement(
    json.dumps({"code": "SUCCESS", "message": "成功"}, ensure_ascii=False).encode(), "application/json"
)


def parse_webhook(account: ChannelAccount, request: WebhookRequest) -> WebhookEvent:
    """Raises `WebhookRefused`."""
    try:
        client = WechatClient(account, VERIFICATION_SECONDS)
        client.verify(request.body, Signature.read(request.headers))
    except SignatureProbe as error:
        log.info("wechat.signature_probe_refused", account=account.label)
        raise WebhookRefused(str(error)) from error
    except (UnusableCredentials, UnverifiedAnswer) as error:
        raise WebhookRefused(str(error)) from error
    try:
        notification = make_storable(json.loads(request.body))
        resource = json.loads(
            decrypt_resource(client.credentials.api_v3_keys, read_object(notification, "resource"))
        )
        return _read_event(client, notification, make_storable(resource), account.environment)
    except (UnexpectedFormat, ValueError, RecursionError, AttributeError) as error:
        raise WebhookRefused(f"not of a known shape: {error}") from error
    except DecryptionFailed as error:
        log.warning("wechat.webhook_not_decrypted", account=account.label, reason=str(error))
        raise WebhookRefused(str(error)) from error


def _read_event(
    client: WechatClient, notification: dict[str, Any], resource: dict[str, Any], environment: str
) -> WebhookEvent:
    event_id, event_type = read_text(notification, "id"), read_text(notification, "event_type")
    if len(event_id) > MAX_EVENT_ID:
        raise UnexpectedFormat("the id is too long")
    if resource.get("mchid") != client.credentials.merchant_id:
        raise UnexpectedFormat("of another merchant number")
    updates: tuple[ChannelUpdate, ...] = ()
    if event_type == PAID_EVENT:
        updates = (read_payment(resource),)
    elif event_type in REFUND_EVENTS:
        updates = (read_refund(resource, "refund_status", environment),)
    return WebhookEvent(
        event_id,
        event_type,
        updates,
        record=_build_record(notification, resource),
        acknowledgement=ACKNOWLEDGEMENT,
    )


def _build_record(notification: dict[str, Any], resource: dict[str, Any]) -> bytes:
    """Builds what is stored: the decrypted resource, without the customer's openid."""
    kept = {name: value for name, value in resource.items() if name != "payer"}
    return json.dumps({**notification, "resource": kept}, ensure_ascii=False).encode()
