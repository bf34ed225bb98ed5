"""Pruning deletes history after its retention, and no row before."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from events.models import OutboxEvent
from gateway.models import ChannelEvent
from idempotency.models import IdempotencyKey
from merchants.models import RequestNonce
from monitoring import pruning
from monitoring.models import ConsistencyRun
from monitoring.pruning import prune_history
from monitoring.services import run_checks
from monitoring.tasks import prune
from sagas.models import SagaEvent, SagaInstance, SagaStep
from tests.ops.conftest import World
from tests.support import background, shop
from tests.support.signing import SignedClient
from tests.support.tables import row_counts
from webhooks import fanout

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])

Sabotage = Callable[..., None]


def age_sagas(sabotage: Sabotage, days: int = 31) -> None:
    past = f"now() - interval '{days} days'"
    sabotage(f"UPDATE saga_instances SET created_at = {past}, updated_at = {past}")


def test_recent_history_stays(world: World) -> None:
    before = row_counts()
    prune_history()
    assert row_counts() == before


def test_old_finished_sagas_are_deleted_with_their_steps_and_events(world: World, sabotage: Sabotage) -> None:
    age_sagas(sabotage)
    sagas = SagaInstance.objects.count()
    assert prune_history().sagas == sagas - 1
    assert SagaInstance.objects.get().business_id == world.open, "its payment is open"
    assert set(SagaStep.objects.values_list("saga__business_id", flat=True)) == {world.open}
    assert set(SagaEvent.objects.values_list("saga__business_id", flat=True)) == {world.open}


def test_the_age_of_a_saga_counts_from_its_end(world: World, sabotage: Sabotage) -> None:
    age_sagas(sabotage)
    sabotage("UPDATE saga_instances SET updated_at = now() - interval '29 days'")
    assert prune_history().sagas == 0


@pytest.mark.parametrize(
    "kept",
    [
        "UPDATE saga_instances SET needs_attention = true",
        "UPDATE saga_instances SET status = 'in_progress'",
        "UPDATE saga_instances SET status = 'pending'",
    ],
)
def test_open_sagas_and_sagas_that_need_review_stay(kept: str, world: World, sabotage: Sabotage) -> None:
    age_sagas(sabotage)
    sabotage(f"{kept} WHERE business_id = %(n)s", {"n": world.paid})
    prune_history()
    assert SagaInstance.objects.filter(business_id=world.paid).exists()


def test_the_saga_of_an_open_refund_stays(client: SignedClient, sabotage: Sabotage) -> None:
    payment = shop.paid(client, "refund_pending:3600")
    refund = shop.data(shop.refund(client, payment, 1_000))
    age_sagas(sabotage)
    assert prune_history().sagas == 1
    assert SagaInstance.objects.get().business_id == refund["refund_no"]


def test_events_are_deleted_a_month_after_both_ways_have_sent_them(world: World, sabotage: Sabotage) -> None:
    total = OutboxEvent.objects.count()
    sabotage("UPDATE outbox_events SET created_at = now() - interval '60 days'")
    assert prune_history().outbox_events == 0
    sabotage("UPDATE outbox_events SET published_at = now() - interval '31 days'")
    assert prune_history().outbox_events == 0, "their webhook deliveries are not created yet"
    sabotage("UPDATE outbox_events SET fanned_out_at = now() - interval '29 days'")
    assert prune_history().outbox_events == 0
    sabotage("UPDATE outbox_events SET fanned_out_at = now() - interval '31 days'")
    assert prune_history().outbox_events == total


def test_deliveries_are_deleted_after_a_month_and_then_their_events(
    client: SignedClient, sabotage: Sabotage
) -> None:
    shop.opened(client, callback_url="http://127.0.0.1:9/callback")
    fanout.fan_out_batch()
    past = "now() - interval '31 days'"
    sabotage(f"UPDATE outbox_events SET created_at = {past}, published_at = {past}, fanned_out_at = {past}")
    assert (prune_history().webhook_deliveries, OutboxEvent.objects.count()) == (0, 1)
    sabotage(f"UPDATE webhook_deliveries SET created_at = {past}, updated_at = {past}")
    pruned = prune_history()
    assert (pruned.webhook_deliveries, pruned.outbox_events) == (1, 1)


def test_rows_that_stay_do_not_block_rows_behind_them(
    client: SignedClient, sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest delivery and one in the middle were sent again recently, so both stay."""
    for _each in range(7):
        shop.opened(client, callback_url="http://127.0.0.1:9/callback")
    fanout.fan_out_batch()
    past = "now() - interval '31 days'"
    sabotage(f"UPDATE outbox_events SET created_at = {past}, published_at = {past}, fanned_out_at = {past}")
    sabotage(f"UPDATE webhook_deliveries SET created_at = {past}, updated_at = {past}")
    kept = [OutboxEvent.objects.order_by("id")[number].pk for number in (0, 3)]
    sabotage(
        "UPDATE webhook_deliveries SET updated_at = now() WHERE event_id = ANY(%(kept)s)", {"kept": kept}
    )
    monkeypatch.setattr(pruning, "BATCH", 2)
    pruned = prune_history()
    assert (pruned.webhook_deliveries, pruned.outbox_events) == (5, 5)
    assert list(OutboxEvent.objects.order_by("id").values_list("pk", flat=True)) == kept
    assert (prune_history().webhook_deliveries, OutboxEvent.objects.count()) == (0, 2)


def test_old_keys_nonces_and_runs_are_deleted(client: SignedClient, sabotage: Sabotage) -> None:
    shop.data(shop.create(client, key="old"))
    shop.data(shop.create(client))
    run_checks()
    sabotage("UPDATE idempotency_keys SET created_at = now() - interval '8 days'")
    sabotage("UPDATE request_nonces SET created_at = now() - interval '1 hour'")
    sabotage("UPDATE consistency_runs SET started_at = now() - interval '91 days'")
    assert RequestNonce.objects.exists()
    assert IdempotencyKey.objects.exists()
    prune()
    assert not RequestNonce.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert not ConsistencyRun.objects.exists()


def test_an_unfinished_key_is_deleted_when_its_write_is_over(
    client: SignedClient, sabotage: Sabotage
) -> None:
    """A merchant that waits for the webhook never repeats what was answered 202."""
    payment = shop.paid(client, "refund:timeout_after")
    refund = shop.data(shop.refund(client, payment, 1_000, key="never repeated"), 202)
    key = IdempotencyKey.objects.get()
    assert key.state == "in_flight"
    sabotage("UPDATE idempotency_keys SET created_at = now() - interval '8 days'")
    assert prune_history().idempotency_keys == 0, "the refund is at work"
    saga = "definition = 'refund.create'"
    sabotage(f"UPDATE saga_instances SET status = 'failed', needs_attention = true WHERE {saga}")
    assert prune_history().idempotency_keys == 0, "it needs review"
    sabotage(f"UPDATE saga_instances SET status = 'in_progress', needs_attention = false WHERE {saga}")
    background.finish()
    assert shop.get_refund(client, refund)["status"] == "succeeded"
    sabotage("UPDATE idempotency_keys SET lease_expires_at = now() + interval '1 minute'")
    assert prune_history().idempotency_keys == 0, "a repetition is being answered"
    sabotage("UPDATE idempotency_keys SET lease_expires_at = now()")
    assert prune_history().idempotency_keys == 1


def test_it_works_in_small_batches_and_within_bounds(
    world: World, sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = "now() - interval '31 days'"
    sabotage(f"UPDATE outbox_events SET created_at = {past}, published_at = {past}, fanned_out_at = {past}")
    total = OutboxEvent.objects.count()
    monkeypatch.setattr(pruning, "BATCH", 2)
    monkeypatch.setattr(pruning, "MAX_BATCHES", 3)
    assert prune_history().outbox_events == 6
    monkeypatch.setattr(pruning, "MAX_BATCHES", 1000)
    assert prune_history().outbox_events == total - 6


def test_the_command_prints_the_number_of_deleted_rows(world: World, sabotage: Sabotage) -> None:
    age_sagas(sabotage)
    output = StringIO()
    call_command("prune_history", stdout=output)
    counts: dict[str, Any] = dict(line.split() for line in output.getvalue().splitlines())
    assert counts["sagas"] == "8"
    assert counts["idempotency_keys"] == "0"


def test_events_of_other_systems_are_deleted_by_age_and_by_number(
    world: World, sabotage: Sabotage, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        ChannelEvent.objects.create(
            channel="simulator", event_id=f"strange-{number}", effect="unknown_reference"
        )
    sabotage("UPDATE channel_events SET received_at = now() - interval '8 days' WHERE event_id = 'strange-3'")
    ours = ChannelEvent.objects.exclude(effect="unknown_reference").count()
    assert prune_history().unknown_channel_events == 1
    monkeypatch.setattr(pruning, "MAX_UNKNOWN_EVENTS", 3)
    assert prune_history().unknown_channel_events == 2
    left = ChannelEvent.objects.filter(effect="unknown_reference").values_list("event_id", flat=True)
    assert set(left) == {"strange-2", "strange-4", "strange-5"}
    assert ChannelEvent.objects.exclude(effect="unknown_reference").count() == ours


def test_channel_events_are_deleted_when_no_channel_resends_them(world: World, sabotage: Sabotage) -> None:
    count = ChannelEvent.objects.count()
    assert count > 1
    sabotage("UPDATE channel_events SET received_at = now() - interval '89 days'")
    assert prune_history().channel_events == 0
    newest = ChannelEvent.objects.latest("id")
    sabotage(f"UPDATE channel_events SET received_at = now() - interval '91 days' WHERE id <> '{newest.id}'")
    assert prune_history().channel_events == count - 1
    assert ChannelEvent.objects.get() == newest
