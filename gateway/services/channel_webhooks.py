"""Receives webhooks of channels: each verified event is stored once, in the transaction that applies its updates."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction

from channels.base import (
    Acknowledgement,
    ChannelDispute,
    ChannelPayment,
    ChannelRefund,
    ChannelUpdate,
    RefundedPayment,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.guard import GuardedChannel
from channels.registry import UnknownChannel, get_webhook_channels
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


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """What a webhook did, and how the channel wants it acknowledged; None: with our own JSON."""

    effect: UpdateEffect
    acknowledgement: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class _LocatedUpdate:
    """An update with our reference of its payment, empty where the update itself names it or it is not ours."""

    update: ChannelUpdate
    payment_reference: str


def receive_webhook(*, channel: str, body: bytes, headers: Mapping[str, str]) -> ReceivedWebhook:
    """Verifies, stores and applies one webhook. A repeated event changes nothing.

    Raises `NotFound` for an unknown channel, `WebhookRejected` for a webhook that the channel did not sign, and
    `ServiceUnavailable` for an event that cannot be applied yet: the channel sends it again.
    """
    try:
        channels = get_webhook_channels(channel)
    except UnknownChannel as error:
        raise NotFound({"channel": channel}) from error
    event = _parse_webhook(channels, WebhookRequest(body, headers))
    # Queries may not be made inside the transaction that applies the updates.
    updates = [_locate_payment(update, channel) for update in event.updates]
    effect = _store_and_apply(event, updates, channel, body if event.record is None else event.record)
    return ReceivedWebhook(effect, event.acknowledgement)


def _parse_webhook(channels: list[GuardedChannel], request: WebhookRequest) -> WebhookEvent:
    """Returns the event of the first account for which the webhook was signed. Raises `WebhookRejected`."""
    reason = ""
    for channel in channels:
        try:
            return channel.parse_webhook(request)
        except WebhookRefused as error:
            reason = str(error)
    raise WebhookRejected({"reason": reason})


def _locate_payment(update: ChannelUpdate, source: str) -> _LocatedUpdate:
    """Makes the queries that an update needs."""
    reference = ""
    match update:
        case ChannelDispute():
            reference = find_payment_reference(update.channel_trade_no, source, update.environment)
        case ChannelRefund():
            reference = find_payment_reference_of_refund(update, source)
        case RefundedPayment():
            channel_queries.query_reported_refunds(update=update, source=source)
    return _LocatedUpdate(update, reference)


def _store_and_apply(
    event: WebhookEvent, updates: list[_LocatedUpdate], source: str, record: bytes
) -> UpdateEffect:
    row = ChannelEvent(
        channel=source,
        event_id=event.event_id,
        type=event.event_type[:MAX_TYPE],
        reference=next(filter(None, map(_get_reference, updates)), "")[:MAX_REFERENCE],
        payload=stored_payload(record, max_bytes=MAX_BODY_BYTES),
        effect=UpdateEffect.NOTHING_NEW,
    )
    with transaction.atomic(durable=True):
        if not insert_unless_exists(row):
            return UpdateEffect.NOTHING_NEW
        effects = [_apply(each, source) for each in updates]
        changes = (each for each in effects if each != UpdateEffect.NOTHING_NEW)
        effect = next(changes, UpdateEffect.NOTHING_NEW)
        if effect == UpdateEffect.UNKNOWN_REFERENCE:
            payload = stored_payload(record, max_bytes=MAX_UNKNOWN_BODY_BYTES)
            ChannelEvent.objects.filter(id=row.id).update(effect=effect, payload=payload)
        elif effect != row.effect:
            ChannelEvent.objects.filter(id=row.id).update(effect=effect)
        crash.reach("channel.event.before_commit", row.reference)
    crash.reach("channel.event.after_commit", row.reference)
    return effect


def _get_reference(located: _LocatedUpdate) -> str:
    if isinstance(located.update, ChannelPayment | ChannelRefund) and located.update.reference:
        return located.update.reference
    return located.payment_reference


def _apply(located: _LocatedUpdate, source: str) -> UpdateEffect:
    match located.update:
        case ChannelPayment() as payment:
            return apply_payment_update(update=payment, source=source)
        case ChannelRefund() as refund:
            return apply_refund_update(
                update=refund, source=source, payment_reference=located.payment_reference
            )
        case ChannelDispute() as dispute:
            return apply_dispute_update(
                update=dispute, source=source, payment_reference=located.payment_reference
            )
        case RefundedPayment():
            return UpdateEffect.NOTHING_NEW
