"""Webhooks from channels: authentic or refused, stored with their effect, one effect per event id."""

from collections.abc import Mapping

from django.db import transaction

from channels.base import ChannelEvent as ReportedEvent
from channels.base import WebhookRefused
from channels.registry import UnknownChannel, get_webhook_channel
from common import crash
from common.db import insert_unless_exists
from common.errors import NotFound
from gateway.errors import WebhookRejected
from gateway.models import ChannelEvent
from gateway.services import channel_refunds, channel_updates, disputes
from gateway.services.channel_updates import Effect
from gateway.services.event_record import MAX_BODY_BYTES, MAX_UNKNOWN_BODY_BYTES, stored_payload

MAX_TYPE, MAX_REFERENCE = 100, 64


def receive(*, channel: str, body: bytes, headers: Mapping[str, str]) -> Effect:
    """Raises `NotFound` for a channel we do not have, `WebhookRejected` for what it did not sign, and
    `ServiceUnavailable` for what cannot be understood now: the channel sends it again."""
    try:
        update = get_webhook_channel(channel).parse_webhook(body=body, headers=headers)
    except UnknownChannel as error:
        raise NotFound({"channel": channel}) from error
    except WebhookRefused as error:
        raise WebhookRejected({"reason": str(error)}) from error
    return _apply_once(channel, update, body, _asked_before(update, channel))


def _asked_before(update: ReportedEvent, channel: str) -> str:
    """What must be asked before the transaction: whose payment the channel speaks of. Raises `ServiceUnavailable`."""
    if update.dispute is not None:
        return disputes.reference_of(update.dispute, channel)
    if update.refund is not None:
        return channel_refunds.payment_reference(update.refund, channel)
    if update.refunded is not None:
        channel_refunds.sync_by_trade_no(
            trade_no=update.refunded.payment_trade_no, source=channel, environment=update.refunded.environment
        )
    return ""


def _apply_once(channel: str, update: ReportedEvent, body: bytes, asked: str) -> Effect:
    subject = update.payment or update.refund
    reference = (subject.reference if subject else "") or asked
    event = ChannelEvent(
        channel=channel,
        event_id=update.event_id,
        type=update.event_type[:MAX_TYPE],
        reference=reference[:MAX_REFERENCE],
        payload=stored_payload(body, max_bytes=MAX_BODY_BYTES),
        effect=Effect.NOTHING_NEW,
    )
    with transaction.atomic(durable=True):
        if not insert_unless_exists(event):
            return Effect.NOTHING_NEW
        effect = _effect_of(update, channel, asked)
        if effect == Effect.UNKNOWN_REFERENCE:
            payload = stored_payload(body, max_bytes=MAX_UNKNOWN_BODY_BYTES)
            ChannelEvent.objects.filter(id=event.id).update(effect=effect, payload=payload)
        elif effect != event.effect:
            ChannelEvent.objects.filter(id=event.id).update(effect=effect)
        crash.reach("channel.event.before_commit", event.reference)
    crash.reach("channel.event.after_commit", event.reference)
    return effect


def _effect_of(update: ReportedEvent, channel: str, asked: str) -> Effect:
    if update.payment is not None:
        return channel_updates.apply_payment_update(update=update.payment, source=channel)
    if update.refund is not None:
        return channel_refunds.apply(update=update.refund, reference=asked, source=channel)
    if update.dispute is not None:
        return disputes.apply(update=update.dispute, reference=asked, source=channel)
    return Effect.NOTHING_NEW
