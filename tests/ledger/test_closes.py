"""Every change of a closed day is found."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from ledger import closes
from tests.support.shop import data, paid, refund
from tests.support.signing import SignedClient

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


def write(sql: str) -> None:
    """Writes while triggers are switched off, as only an owner of the database can."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(sql)
        assert cursor.rowcount


@pytest.fixture
def _three_days_ago(client: SignedClient) -> None:
    payment = paid(client)
    data(refund(client, payment, 4_000))
    write("UPDATE ledger_transfers SET day = day - 3")
    write("UPDATE ledger_accounts SET created_at = created_at - interval '3 days'")


@pytest.mark.usefixtures("_three_days_ago")
def test_every_day_that_is_over_is_closed_once() -> None:
    closed = closes.close_days()
    assert [close.transfer_count for close in closed][:1] == [3]
    assert len(closed) in (2, 3), "two within ten minutes after midnight"
    assert closed[0].posted_minor == 14_000
    assert [close.previous_digest for close in closed] == ["", *(close.chain_digest for close in closed[:-1])]
    assert closes.close_days() == []
    assert closes.verify_days() == []


@pytest.mark.usefixtures("_three_days_ago")
def test_a_transfer_from_before_the_first_account_is_closed() -> None:
    """Its transaction began before midnight; another one, which began later, opened the account."""
    write("UPDATE ledger_transfers SET day = day - 1 WHERE event = 'payment.captured'")
    closed = closes.close_days()
    assert [close.transfer_count for close in closed][:2] == [1, 2]
    assert closes.verify_days() == []


MUTATIONS = {
    "an amount": ("UPDATE ledger_entries SET amount_minor = amount_minor - 1", "the entries have changed"),
    "a direction": ("UPDATE ledger_entries SET direction = 'debit'", "the entries have changed"),
    "an account": (
        "UPDATE ledger_entries SET account_id = (SELECT id FROM ledger_accounts ORDER BY id LIMIT 1)",
        "the entries have changed",
    ),
    "a fee basis": ("UPDATE ledger_transfers SET fee_basis = '{}'", "the entries have changed"),
    "a transfer gone": (
        "DELETE FROM ledger_transfers WHERE event = 'refund.succeeded'",
        "the entries have changed",
    ),
    "a transfer of another day": (
        "UPDATE ledger_transfers SET day = day + 1 WHERE event = 'refund.succeeded'",
        "the entries have changed",
    ),
    "the figures of a close": (
        "UPDATE daily_closes SET posted_minor = posted_minor + 1",
        "the entries have changed",
    ),
    "the hash": (
        "UPDATE daily_closes SET chain_digest = repeat('0', 64)",
        "the record of the close has changed",
    ),
    "the signature": ("UPDATE daily_closes SET signature = repeat('0', 64)", "the signature is wrong"),
    "the first close gone": (
        "DELETE FROM daily_closes WHERE previous_digest = ''",
        "it does not continue the day before",
    ),
}


@pytest.mark.usefixtures("_three_days_ago")
def test_each_mutation_of_the_past_is_found(subtests: pytest.Subtests) -> None:
    closes.close_days()
    for what, (sql, problem) in MUTATIONS.items():
        with subtests.test(what), transaction.atomic():
            write(sql)
            assert any(problem in str(found) for found in closes.verify_days())
            transaction.set_rollback(True)
    assert closes.verify_days() == []


@pytest.mark.usefixtures("_three_days_ago")
def test_a_close_that_was_made_up_has_a_wrong_signature(settings: Any) -> None:
    """A person who can write to the database but does not know the secret cannot sign."""
    closes.close_days()
    write("UPDATE ledger_entries SET amount_minor = amount_minor - 1")
    write("DELETE FROM daily_closes")
    settings.KEYED_HASH_SECRET = "another secret of thirty-two characters"
    closes.close_days()
    assert closes.verify_days() == []
    settings.KEYED_HASH_SECRET = "the real secret, of thirty-two characters"
    (problem,) = {found.problem for found in closes.verify_days()}
    assert "neither KEYED_HASH_SECRET nor" in problem
    # With the key id of the real secret, the signature is wrong.
    write(f"UPDATE daily_closes SET key_id = '{closes._compute_key_id(settings.KEYED_HASH_SECRET)}'")
    assert {found.problem for found in closes.verify_days()} == {"the signature is wrong"}


@pytest.mark.usefixtures("_three_days_ago")
def test_a_rotated_secret_still_verifies_the_closes_that_it_signed(settings: Any) -> None:
    closes.close_days()
    old, settings.KEYED_HASH_SECRET = settings.KEYED_HASH_SECRET, "the new secret, of thirty-two characters"
    assert closes.verify_days() != []
    settings.KEYED_HASH_OLD_SECRETS = ["an even older secret of other characters", old]
    assert closes.verify_days() == []
    write("UPDATE daily_closes SET signature = repeat('0', 64)")
    assert {found.problem for found in closes.verify_days()} == {"the signature is wrong"}


@pytest.mark.usefixtures("_three_days_ago")
def test_the_command_closes_and_verifies(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("close_day")
    assert "test USD: 3 transfers" in capsys.readouterr().out
    call_command("close_day", verify=True)
    assert "unchanged" in capsys.readouterr().out
    write("UPDATE ledger_entries SET amount_minor = amount_minor - 1")
    with pytest.raises(SystemExit):
        call_command("close_day", verify=True)
    assert "the entries have changed: 3 transfers" in capsys.readouterr().out


@pytest.mark.usefixtures("_three_days_ago")
def test_a_chain_that_was_written_anew_contradicts_the_kept_digest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nobody needs the secret for that: the platform signs what it finds."""
    closes.close_days()
    call_command("close_day", heads=True)
    kept = tmp_path / "kept"
    kept.write_text(capsys.readouterr().out)
    call_command("close_day", verify=True, kept=kept)
    assert "unchanged" in capsys.readouterr().out
    write("UPDATE ledger_entries SET amount_minor = amount_minor - 1")
    write("DELETE FROM daily_closes")
    with pytest.raises(SystemExit):
        call_command("close_day", verify=True, kept=kept)
    assert "its close was kept, and is gone" in capsys.readouterr().out
    closes.close_days()
    assert closes.verify_days() == [], "the new chain is whole"
    with pytest.raises(SystemExit):
        call_command("close_day", verify=True, kept=kept)
    assert "another digest was kept" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["test USD 2026-11-28", "test USD yesterday 00ff", "\x00 \x00"])
def test_a_file_that_is_not_of_kept_digests_is_refused(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "kept"
    kept.write_text(f"\n{content}\n")
    with pytest.raises(CommandError, match="line 2"):
        call_command("close_day", verify=True, kept=kept)
    with pytest.raises(CommandError, match="needs --verify"):
        call_command("close_day", kept=kept)


def test_today_stays_open(client: SignedClient) -> None:
    paid(client)
    assert closes.close_days() == []


def test_a_ledger_without_transfers_has_nothing_to_close() -> None:
    assert closes.close_days() == []
    assert closes.verify_days() == []
