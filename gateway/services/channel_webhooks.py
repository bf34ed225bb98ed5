"""Receives webhooks of channels: each verified event is stored once, in the transaction that applies it."""

from collections.abc import Mapping

from django.db import transaction

from channels.base import WebhookEvent, WebhookRefused
from channels.registry import UnknownChannel, get_webhook_channel
from common import crash
from common.db import insert_unless_exists
from common.errors import NotFound
from gateway.errors import WebhookRejected
from gateway.models import ChannelEvent, UpdateEffect
from gateway.services import channel_queries
from gateway.services.channel_event_payload import MAX_BODY_BYTES, MAX_UNKNOWN_BODY_BYTES, stored_payload
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.services.channel_updates.references import (
    find_payment_reference,
    find_payment_reference_of_refund,
)
from gateway.services.channel_updates.refunds import apply_refund_update

MAX_TYPE, MAX_REFERENCE = 100, 64


def receive_webhook(*, channel: str, body: bytes, headers: Mapping[str, str]) -> UpdateEffect:
    """Verifies, stores and applies one webhook. A repeated event changes nothing.

    Raises `NotFound` for an unknown channel, `WebhookRejected` for a webhook that the channel did not sign, and
    `ServiceUnavailable` for an event that cannot be applied yet: the channel sends it again.
    """
    try:
        event = get_webhook_channel(channel).parse_webhook(body=body, headers=headers)
    except UnknownChannel as error:
        raise NotFound({"channel": channel}) from error
    except WebhookRefused as error:
        raise WebhookRejected({"reason": str(error)}) from error
    payment_reference = _query_before_transaction(event, channel)
    return _store_and_apply(event, channel, body, payment_reference)


def _query_before_transaction(event: WebhookEvent, source: str) -> str:
    """Makes the queries that an event needs, because none may be made inside its transaction. Returns our reference of
    the payment whose dispute or refund it reports."""
    if event.dispute is not None:
        return find_payment_reference(event.dispute.channel_trade_no, source, event.dispute.environment)
    if event.refund is not None:
        return find_payment_reference_of_refund(event.refund, source)
    if event.refunded is not None:
        channel_queries.query_refunds_by_trade_no(
            trade_no=event.refunded.payment_trade_no, source=source, environment=event.refunded.environment
        )
    return ""


def _store_and_apply(event: WebhookEvent, source: str, body: bytes, payment_reference: str) -> UpdateEffect:
    subject = event.payment or event.refund
    reference = (subject.reference if subject else "") or payment_reference
    row = ChannelEvent(
        channel=source,
        event_id=event.event_id,
        type=event.event_type[:MAX_TYPE],
        reference=reference[:MAX_REFERENCE],
        payload=stored_payload(body, max_bytes=MAX_BODY_BYTES),
        effect=UpdateEffect.NOTHING_NEW,
    )
    with transaction.atomic(durable=True):
        if not insert_unless_exists(row):
            return UpdateEffect.NOTHING_NEW
        effect = _apply(event, source, payment_reference)
        if effect == UpdateEffect.UNKNOWN_REFERENCE:
            payload = stored_payload(body, max_bytes=MAX_UNKNOWN_BODY_BYTES)
            ChannelEvent.objects.filter(id=row.id).update(effect=effect, payload=payload)
        elif effect != row.effect:
            ChannelEvent.objects.filter(id=row.id).update(effect=effect)
        crash.reach("channel.event.before_commit", row.reference)
    crash.reach("channel.event.after_commit", row.reference)
    return effect


def _apply(event: WebhookEvent, source: str, payment_reference: str) -> UpdateEffect:
    if event.payment is not None:
        return apply_payment_update(update=event.payment, source=source)
    if event.refund is not None:
        return apply_refund_update(update=event.refund, source=source, payment_reference=payment_reference)
    if event.dispute is not None:
        return apply_dispute_update(update=event.dispute, source=source, payment_reference=payment_reference)
    return UpdateEffect.NOTHING_NEW
