"""Receives webhooks of channels: each verified event is stored once, in the transaction that applies its updates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from channel_accounts.connected_accounts import record_disconnection
from channel_accounts.serving import find_connected_channel, find_webhook_channel
from channels.base import (
    Acknowledgement,
    ChannelDispute,
    ChannelPayment,
    ChannelRefund,
    ChannelUpdate,
    DisconnectedAccount,
    RefundedPayment,
    ReportedCard,
    WebhookEvent,
    WebhookRefused,
    WebhookRequest,
)
from channels.guard import GuardedChannel, TooManyCalls
from channels.registry import CONNECT_WEBHOOK_TOKEN, UnknownChannel, get_webhook_channels
from common import crash
from common.db import insert_unless_exists
from common.errors import NotFound, ServiceUnavailable
from gateway.errors import WebhookRejected
from gateway.models import ChannelEvent, UpdateEffect
from gateway.services import channel_queries
from gateway.services.channel_event_payload import MAX_BODY_BYTES, MAX_UNKNOWN_BODY_BYTES, stored_payload
from gateway.services.channel_updates.cards import apply_card_update
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.services.channel_updates.payments import apply_payment_update
from gateway.services.channel_updates.references import (
    RETRY_LATER,
    find_payment_reference,
    find_payment_reference_of_refund,
)
from gateway.services.channel_updates.refunds import apply_refund_update
from gateway.update_source import UpdateSource

MAX_TYPE, MAX_REFERENCE = 100, 64


@dataclass(frozen=True, slots=True)
class ReceivedWebhook:
    """The effect of a webhook, and the acknowledgement that the channel wants; None: our own JSON."""

    effect: UpdateEffect
    acknowledgement: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class _LocatedUpdate:
    """An update with our reference of its payment, empty where the update itself names it or it is not ours."""

    update: ChannelUpdate
    payment_reference: str


def receive_webhook(
    *, channel: str, token: str = "", body: bytes, headers: Mapping[str, str]
) -> ReceivedWebhook:
    """Verifies, stores and applies one webhook. Of a repeated event only those updates are applied that were about
    nothing known here before.

    `token` names the account; without it the webhook is for the platform's own account, or for an account that is
    connected to it. It changes the payments of that account alone.

    Raises `NotFound` for an unknown channel or token, `WebhookRejected` for a webhook that the channel did not sign,
    and `ServiceUnavailable` for an event that cannot be applied yet: the channel sends it again.
    """
    served, event = _parse_webhook(_find_channels(channel, token), WebhookRequest(body, headers))
    owner = _find_connected_channel(served, event) if event.connected_account_no else served
    record = body if event.record is None else event.record
    if owner is None:
        # The account is not, or no longer, one of ours.
        effect = _store_and_apply(event, None, UpdateSource.of(served), record)
        return ReceivedWebhook(effect, event.acknowledgement)
    source = UpdateSource.of(owner)
    # Queries may not be made inside the transaction that applies the updates.
    updates = [_locate_payment(update, source) for update in event.updates]
    effect = _store_and_apply(event, updates, source, record)
    return ReceivedWebhook(effect, event.acknowledgement)


def _find_channels(channel: str, token: str) -> list[GuardedChannel]:
    """The channel with each account that may verify the webhook. Raises `NotFound`."""
    try:
        if token in ("", CONNECT_WEBHOOK_TOKEN):
            return get_webhook_channels(channel)
        served = find_webhook_channel(channel, token)
    except UnknownChannel as error:
        raise NotFound({"channel": channel}) from error
    if served is None:
        raise NotFound({"channel": channel})
    return [served]


def _parse_webhook(
    channels: list[GuardedChannel], request: WebhookRequest
) -> tuple[GuardedChannel, WebhookEvent]:
    """Returns the event of the first account for which the webhook was signed. Raises `WebhookRejected` and
    `ServiceUnavailable`."""
    reason = ""
    for channel in channels:
        try:
            return channel, channel.parse_webhook(request)
        except WebhookRefused as error:
            reason = str(error)
        except TooManyCalls as error:
            raise ServiceUnavailable({"channel": channel.name}, headers=RETRY_LATER) from error
    raise WebhookRejected({"reason": reason})


def _find_connected_channel(served: GuardedChannel, event: WebhookEvent) -> GuardedChannel | None:
    """The channel with the connected account that the event names; None for an unknown one.

    Only what the platform's own account has verified may name another account: one merchant's secret must never move
    the payments of another merchant. Raises `WebhookRejected`.
    """
    if served.account.id is not None:
        raise WebhookRejected({"reason": "this account cannot name another one"})
    return find_connected_channel(served, event.connected_account_no)


def _locate_payment(update: ChannelUpdate, source: UpdateSource) -> _LocatedUpdate:
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
    event: WebhookEvent, updates: list[_LocatedUpdate] | None, source: UpdateSource, record: bytes
) -> UpdateEffect:
    """Without `updates`, the event is about an account that we do not know: it is stored, and changes nothing."""
    row = ChannelEvent(
        channel=source.channel,
        channel_account_id=source.account_id,
        event_id=event.event_id,
        type=event.event_type[:MAX_TYPE],
        reference=next(filter(None, map(_get_reference, updates or ())), "")[:MAX_REFERENCE],
        payload=stored_payload(record, max_bytes=MAX_BODY_BYTES),
        # The most frequent one, so that few events are updated below.
        effect=UpdateEffect.APPLIED if updates else UpdateEffect.NOTHING_NEW,
    )
    with transaction.atomic(durable=True):
        stored = row if insert_unless_exists(row) else _lock_unknown_event(row)
        if stored is None:
            return UpdateEffect.NOTHING_NEW
        if updates is None:
            effect, unknown = UpdateEffect.UNKNOWN_REFERENCE, stored.unknown_updates or []
        else:
            effect, unknown = _apply_waiting_updates(updates, stored, source)
        _store_effect(row, stored, effect, unknown or None, record)
        crash.reach("channel.event.before_commit", row.reference)
    crash.reach("channel.event.after_commit", row.reference)
    return effect


def _apply_waiting_updates(
    updates: list[_LocatedUpdate], stored: ChannelEvent, source: UpdateSource
) -> tuple[UpdateEffect, list[str]]:
    """Applies the updates that earlier deliveries of the event did not. Returns the effect of all, and the names of
    those that still wait; none when all of them wait, because the effect says so."""
    # Sorted: two events about the same payments lock them in the same order. Those of one payment keep theirs.
    waiting = sorted((each for each in updates if _is_waiting(each, stored)), key=_get_reference)
    effects = [_apply(each, source) for each in waiting]
    unknown = [
        _name_update(each.update)
        for each, effect in zip(waiting, effects, strict=True)
        if effect == UpdateEffect.UNKNOWN_REFERENCE
    ]
    return _choose_effect(effects), [] if len(unknown) == len(updates) else unknown


def _lock_unknown_event(row: ChannelEvent) -> ChannelEvent | None:
    """The stored event of this id, if something in it was not known: after a restore its payment may have been adopted
    since. Locked, so that it is applied once."""
    stored = ChannelEvent.objects.select_for_update(of=("self",)).filter(
        Q(effect=UpdateEffect.UNKNOWN_REFERENCE) | Q(unknown_updates__isnull=False),
        channel=row.channel,
        channel_account_id=row.channel_account_id,
        event_id=row.event_id,
    )
    return stored.only("effect", "unknown_updates").first()


def _is_waiting(located: _LocatedUpdate, stored: ChannelEvent) -> bool:
    """Whether the update was not applied with the event's earlier deliveries."""
    return stored.unknown_updates is None or _name_update(located.update) in stored.unknown_updates


def _store_effect(
    row: ChannelEvent,
    stored: ChannelEvent,
    effect: UpdateEffect,
    unknown: Sequence[str] | None,
    record: bytes,
) -> None:
    """`unknown` names the updates that still wait, where others of the event are known. An effect of an earlier
    delivery stays."""
    is_repeated = stored is not row
    if is_repeated and stored.effect != UpdateEffect.UNKNOWN_REFERENCE:
        effect = _choose_effect([UpdateEffect(stored.effect), effect])
    if not is_repeated and (effect, unknown) == (row.effect, None):
        return
    payload = row.payload
    if effect == UpdateEffect.UNKNOWN_REFERENCE and unknown is None:
        payload = stored_payload(record, max_bytes=MAX_UNKNOWN_BODY_BYTES)
    ChannelEvent.objects.filter(id=stored.id).update(
        effect=effect, unknown_updates=unknown, reference=row.reference, payload=payload
    )


def _choose_effect(effects: Sequence[UpdateEffect]) -> UpdateEffect:
    """The effect that is stored with the event: a change rather than an update that is not about us."""
    changes = [each for each in effects if each != UpdateEffect.NOTHING_NEW]
    known = (each for each in changes if each != UpdateEffect.UNKNOWN_REFERENCE)
    return next(known, changes[0] if changes else UpdateEffect.NOTHING_NEW)


def _name_update(update: ChannelUpdate) -> str:
    """Names the update among those of its event. Stored, so a name never changes."""
    match update:
        case ChannelPayment():
            return f"payment {update.reference}"
        case ReportedCard():
            return f"card {update.reference}"
        case ChannelRefund():
            return f"refund {update.channel_refund_no or update.reference}"
        case ChannelDispute():
            return f"dispute {update.channel_dispute_no}"
        case RefundedPayment():
            return f"refunded payment {update.payment_trade_no}"
        case DisconnectedAccount():
            return "account"


def _get_reference(located: _LocatedUpdate) -> str:
    if isinstance(located.update, ChannelPayment | ChannelRefund | ReportedCard) and located.update.reference:
        return located.update.reference
    return located.payment_reference


def _apply(located: _LocatedUpdate, source: UpdateSource) -> UpdateEffect:
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
        case ReportedCard() as card:
            return apply_card_update(update=card, source=source)
        case RefundedPayment():
            return UpdateEffect.NOTHING_NEW
        case DisconnectedAccount():
            return _apply_disconnection(source)


def _apply_disconnection(source: UpdateSource) -> UpdateEffect:
    if source.account_id is None:
        return UpdateEffect.UNKNOWN_REFERENCE
    changed = record_disconnection(account_id=source.account_id)
    return UpdateEffect.APPLIED if changed else UpdateEffect.NOTHING_NEW
