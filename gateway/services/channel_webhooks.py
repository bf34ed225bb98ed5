"""Receives webhooks of channels (`receive_webhook`):

1. Verify the webhook: an account of the channel must have signed it.
2. Find the account that the event is about: the one that verified it, or one that is connected to the platform's own.
3. Find the payment of each update. This may query the channel, so no transaction is open.
4. In one transaction, store the event and apply its updates (`channel_updates/`).

An event that the channel sends again is not applied twice. Only those of its updates are applied that were about
payments that we did not know: after a restore they may be known by now (ADR 53).
"""

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
from gateway.services.channel_event_payload import (
    MAX_BODY_BYTES,
    MAX_UNKNOWN_BODY_BYTES,
    build_stored_payload,
)
from gateway.services.channel_updates.disputes import apply_dispute_update
from gateway.services.channel_updates.payments import apply_card_update, apply_payment_update
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
    """An update and our reference of its payment: empty where the update itself names it, or it is not ours."""

    update: ChannelUpdate
    payment_reference: str

    @property
    def reference(self) -> str:
        """Our number of the payment or refund that the update is about."""
        update = self.update
        if isinstance(update, ChannelPayment | ChannelRefund | ReportedCard) and update.reference:
            return update.reference
        return self.payment_reference

    @property
    def name(self) -> str:
        """Names the update among those of its event. Stored, so a name never changes."""
        match self.update:
            case ChannelPayment() as payment:
                return f"payment {payment.reference}"
            case ReportedCard() as card:
                return f"card {card.reference}"
            case ChannelRefund() as refund:
                return f"refund {refund.channel_refund_no or refund.reference}"
            case ChannelDispute() as dispute:
                return f"dispute {dispute.channel_dispute_no}"
            case RefundedPayment() as refunded:
                return f"refunded payment {refunded.payment_trade_no}"
            case DisconnectedAccount():
                return "account"


@dataclass(frozen=True, slots=True)
class _AppliedUpdates:
    """The effect of applying the updates of an event. `unknown_updates` names those about payments that we do not know,
    if others of the event are known; else None."""

    effect: UpdateEffect
    unknown_updates: list[str] | None


def receive_webhook(
    *, channel: str, token: str = "", body: bytes, headers: Mapping[str, str]
) -> ReceivedWebhook:
    """Verifies, stores and applies one webhook.

    `token` names the account; without it the webhook is for the platform's own account, or for an account that is
    connected to it. It changes the payments of that account alone.

    Raises `NotFound` for an unknown channel or token, `WebhookRejected` for a webhook that the channel did not sign,
    and `ServiceUnavailable` for an event that cannot be applied yet: the channel sends it again.
    """
    verified_by, event = _parse_webhook(_find_channels(channel, token), WebhookRequest(body, headers))
    owner = _find_connected_channel(verified_by, event) if event.connected_account_no else verified_by
    record = body if event.record is None else event.record
    if owner is None:
        effect = _store_and_apply(event, None, UpdateSource.of(verified_by), record)
    else:
        source = UpdateSource.of(owner)
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


def _find_connected_channel(verified_by: GuardedChannel, event: WebhookEvent) -> GuardedChannel | None:
    """The channel with the connected account that the event names; None when it is not, or no longer, one of ours.

    Only what the platform's own account has verified may name another account: one merchant's secret must never move
    the payments of another merchant. Raises `WebhookRejected`.
    """
    if verified_by.account.id is not None:
        raise WebhookRejected({"reason": "this account cannot name another one"})
    return find_connected_channel(verified_by, event.connected_account_no)


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
        reference=next((each.reference for each in updates or () if each.reference), "")[:MAX_REFERENCE],
        payload=build_stored_payload(record, max_bytes=MAX_BODY_BYTES),
        # The most frequent one, so that few events are updated by `_store_effect`.
        effect=UpdateEffect.APPLIED if updates else UpdateEffect.NOTHING_NEW,
    )
    with transaction.atomic(durable=True):
        stored = row if insert_unless_exists(row) else _lock_event_to_apply_again(row)
        if stored is None:
            return UpdateEffect.NOTHING_NEW
        if updates is None:
            applied = _AppliedUpdates(UpdateEffect.UNKNOWN_REFERENCE, stored.unknown_updates)
        else:
            applied = _apply_new_and_unknown_updates(updates, stored, source)
        _store_effect(applied, row, stored, record)
        crash.reach("channel.event.before_commit", row.reference)
    crash.reach("channel.event.after_commit", row.reference)
    return applied.effect


def _lock_event_to_apply_again(row: ChannelEvent) -> ChannelEvent | None:
    """The stored event with the id of `row`, if some of its updates were unknown; None if all were applied. Locked, so
    that it is applied once."""
    stored = ChannelEvent.objects.select_for_update(of=("self",)).filter(
        Q(effect=UpdateEffect.UNKNOWN_REFERENCE) | Q(unknown_updates__isnull=False),
        channel=row.channel,
        channel_account_id=row.channel_account_id,
        event_id=row.event_id,
    )
    return stored.only("effect", "unknown_updates").first()


def _apply_new_and_unknown_updates(
    updates: list[_LocatedUpdate], stored: ChannelEvent, source: UpdateSource
) -> _AppliedUpdates:
    """Applies the updates of a new event, or those that were unknown when the event came before."""
    names = stored.unknown_updates  # None: no update was applied yet
    unapplied = [each for each in updates if names is None or each.name in names]
    # Two events about the same payments lock them in the same order. The updates of one payment keep theirs.
    unapplied.sort(key=lambda each: each.reference)
    effects = [_apply(each, source) for each in unapplied]
    unknown = [
        each.name
        for each, effect in zip(unapplied, effects, strict=True)
        if effect == UpdateEffect.UNKNOWN_REFERENCE
    ]
    are_others_known = 0 < len(unknown) < len(updates)
    return _AppliedUpdates(_choose_effect(effects), unknown if are_others_known else None)


def _store_effect(applied: _AppliedUpdates, row: ChannelEvent, stored: ChannelEvent, record: bytes) -> None:
    """Updates the stored event, which is `row` itself when the event is new. An effect that was stored before stays."""
    effect, unknown_updates = applied.effect, applied.unknown_updates
    if stored is row:
        if (effect, unknown_updates) == (row.effect, None):
            return
    elif stored.effect != UpdateEffect.UNKNOWN_REFERENCE:
        effect = _choose_effect([UpdateEffect(stored.effect), effect])
    payload = row.payload
    if effect == UpdateEffect.UNKNOWN_REFERENCE and unknown_updates is None:
        payload = build_stored_payload(record, max_bytes=MAX_UNKNOWN_BODY_BYTES)
    ChannelEvent.objects.filter(id=stored.id).update(
        effect=effect, unknown_updates=unknown_updates, reference=row.reference, payload=payload
    )


def _choose_effect(effects: Sequence[UpdateEffect]) -> UpdateEffect:
    """The effect that stands for all: the first change; else an unknown payment; else nothing new."""
    nothing = (UpdateEffect.NOTHING_NEW, UpdateEffect.UNKNOWN_REFERENCE)
    changes = [each for each in effects if each not in nothing]
    if changes:
        return changes[0]
    is_unknown = UpdateEffect.UNKNOWN_REFERENCE in effects
    return UpdateEffect.UNKNOWN_REFERENCE if is_unknown else UpdateEffect.NOTHING_NEW


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
