"""Sagas in the terminal: `manage.py saga` shows, draws and operates them."""

import datetime as dt
import os
import re
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError
from django.utils import translation

from audit.models import StaffAction
from backoffice.renderers.saga_labels import format_duration
from backoffice.renderers.saga_text import align_columns
from sagas import engine, store
from sagas.models import SagaEvent, SagaInstance, SagaStatus
from sagas.outcomes import Failure, NeedsReview, Success, Unknown
from sagas.state import SagaState
from scripts.local.config import ROOT
from tests.sagas.conftest import FakeSteps as Steps
from tests.sagas.conftest import begin, define, fake_steps, reload  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
Makes = Callable[..., SagaState]


@pytest.fixture(autouse=True)
def _english(settings, monkeypatch):
    settings.SAGA_RETRY_BASE_SECONDS = 0
    monkeypatch.setenv("USER", "operator")
    monkeypatch.delenv("SUDO_USER", raising=False)
    with translation.override("en"):
        yield


def saga(*words: str) -> str:
    out = StringIO()
    call_command("saga", *words, stdout=out)
    return out.getvalue()


def refused(*words: str) -> str:
    with pytest.raises(CommandError) as error:
        saga(*words)
    return str(error.value)


@pytest.fixture
def saga_in_review(fake_steps: Steps, define, begin) -> SagaState:  # noqa: F811
    fake_steps.answers("call2", NeedsReview("amounts differ"))
    return engine.advance_saga(begin(define()))


@pytest.fixture
def done(fake_steps: Steps, define, begin) -> SagaState:  # noqa: F811
    return engine.advance_saga(begin(define()))


def line(text: str, start: str) -> str:
    (found,) = [each for each in text.splitlines() if each.strip().startswith(start)]
    return " ".join(found.split())


class TestShow:
    def test_shows_status_steps_history_and_operations(self, saga_in_review):
        printed = saga("show", str(saga_in_review.id))
        assert (
            printed.splitlines()[0]
            == f"{saga_in_review.definition.name} version 1 · {saga_in_review.business_id}"
        )
        assert line(printed, "status") == "status in_progress, forward, no pivot"
        assert line(printed, "state") == "state Needs review: amounts differ"
        assert line(printed, "held by") == "held by nobody"
        assert line(printed, "revision") == f"revision {reload(saga_in_review).revision} (fence 1)"
        assert "local completed 0 of 3" in line(printed, "1 ")
        assert line(printed, "2→").startswith("2→ call2 external pending in doubt 0 of 3")
        assert line(printed, "! amounts").endswith("amounts differ")
        assert re.search(r"→\s+call2\s+undecidable\s+\d+ ms\s+reason: amounts differ", printed)
        assert line(printed, "skip") == "skip yes"
        saga("resolve", str(saga_in_review.id), "--reason", "refunded by hand", "--actor", "ana")
        printed_again = saga("show", str(saga_in_review.id))
        assert "mark_resolved" in printed_again
        assert "ana: refunded by hand (" in printed_again
        assert 'status: "in_progress" → "failed"' in printed_again
        assert [
            line(printed, verb).split()[1] for verb in ("retry", "query", "compensate", "resolve", "cancel")
        ] == ["yes"] * 5

    def test_says_why_an_operation_is_not_allowed(self, done):
        printed = saga("show", done.business_id)
        for verb in ("retry", "query", "skip", "compensate", "cancel"):
            assert line(printed, verb) == f"{verb} no The saga has ended: Completed."
        assert line(printed, "resolve") == "resolve no The saga does not need review."
        assert line(printed, "state") == "state Ended"
        assert "took" in line(printed, "ended")

    def test_names_the_worker_and_the_end_of_its_lease(self, define, begin):  # noqa: F811
        held = begin(define())
        printed = saga("show", str(held.id))
        assert line(printed, "held by").startswith(f"held by {store.get_worker_name()}, lease ends in ")
        assert "holds the saga: try again" in line(printed, "retry")

    def test_shows_the_time_of_the_next_retry(self, fake_steps, define, begin, settings):  # noqa: F811
        fake_steps.answers("call4", Failure("no", "no"))
        fake_steps.answers("call2:undo", Unknown("timeout"))
        waiting = engine.advance_saga(begin(define()))
        reload(waiting).steps.filter(next_retry_at__isnull=False).update(
            next_retry_at=reload(waiting).created_at.replace(year=2099)
        )
        printed = saga("show", str(waiting.id))
        assert line(printed, "state").startswith("state Retry of call2 in ")
        assert "failed, compensating in doubt 1 of 3 in " in line(printed, "2→")

    def test_columns_are_aligned(self, saga_in_review):
        printed = saga("show", str(saga_in_review.id)).split("Steps\n")[1].split("\n\n")[0].splitlines()
        rows = [row for row in printed if not row.lstrip().startswith("!")]
        start = rows[0].index("STATUS")
        assert {row[start:].split()[0] for row in rows[1:]} == {"completed", "pending"}
        assert align_columns([("a", "", "x"), ("bb", "", "")]) == ["a   x", "bb"]

    @pytest.mark.parametrize("name", ["PAY-1", "00000000-0000-4000-8000-000000000000", "", "%"])
    def test_an_unknown_name(self, name):
        assert "There is no saga" in refused("show", name)

    def test_an_ambiguous_name(self, saga_in_review, done):
        SagaInstance.objects.filter(id=done.id).update(business_id=saga_in_review.business_id)
        text = refused("show", saga_in_review.business_id)
        assert "has 2 sagas" in text
        assert str(saga_in_review.id) in text
        assert str(done.id) in text
        assert saga("show", str(saga_in_review.id))


class TestList:
    def test_the_newest_first(self, saga_in_review, fake_steps, define, begin):  # noqa: F811
        newer = engine.advance_saga(begin(define()))
        lines = saga("list").splitlines()
        assert lines[0].split()[:3] == ["ID", "DEFINITION", "BUSINESS"]
        assert [row.split()[0] for row in lines[1:]] == [str(newer.id), str(saga_in_review.id)]
        assert "Needs review: amounts differ" in lines[2]
        assert "1/4 call2" in lines[2]

    def test_can_be_narrowed(self, saga_in_review, fake_steps, define, begin):  # noqa: F811
        finished = engine.advance_saga(begin(define()))
        due = begin(define(), leased=False)

        def ids(*words: str) -> list[str]:
            return [row.split()[0] for row in saga("list", *words).splitlines()[1:]]

        assert ids("--attention") == [str(saga_in_review.id)]
        assert ids("--status", "completed") == [str(finished.id)]
        assert ids("--definition", due.definition.name) == [str(due.id)]
        assert ids("--due") == [str(due.id)]
        assert ids("--limit", "1") == [str(due.id)]
        assert saga("list", "--definition", "refund.create") == "no sagas\n"

    @pytest.mark.parametrize("words", [("--status", "odd"), ("--limit", "0"), ("--limit", "x")])
    def test_invalid_arguments_are_refused(self, words):
        assert "Error: argument" in refused("list", *words)


class TestTheTerminal:
    def test_an_unreachable_database_is_reported_in_one_line(self):
        where = {"DB_HOST": "127.0.0.1", "DB_PORT": "1", "DATABASE_POOL": ""}
        command = [sys.executable, "manage.py", "saga", "list"]
        ran = subprocess.run(command, cwd=ROOT, env=os.environ | where, capture_output=True, text=True)
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr
        assert ran.stderr.splitlines()[-1].startswith("ERROR PostgreSQL: ")

    @pytest.mark.parametrize(
        ("locale", "words"), [("C.UTF-8", "Needs review: "), ("zh_CN.UTF-8", "待人工处理：")]
    )
    def test_speaks_the_terminals_language(self, saga_in_review, monkeypatch, locale, words):
        monkeypatch.delenv("LC_ALL", raising=False)
        monkeypatch.delenv("LC_MESSAGES", raising=False)
        monkeypatch.setenv("LANG", locale)
        assert words in saga("list")

    def test_an_unknown_definition_is_an_error(self):
        assert "There is no definition 'nope': there are " in refused("list", "--definition", "nope")


class TestOperate:
    def test_an_operation_is_recorded_in_the_audit_log_and_the_history(self, saga_in_review):
        before = reload(saga_in_review)
        printed = saga("retry", str(saga_in_review.id), "--reason", "the bank is back", "--actor", "ana")
        assert printed.startswith("retry: done. ")
        assert "needs_attention: true → false" in printed
        action, event = StaffAction.objects.get(), SagaEvent.objects.filter(saga_id=saga_in_review.id).last()
        assert (action.actor, action.action, action.object_type, action.object_id, action.reason) == (
            "terminal:ana",
            "saga.retry_now",
            "saga",
            str(saga_in_review.id),
            "the bank is back",
        )
        assert {"before": action.before, "after": action.after} == event.detail
        assert action.before["attention_reason"] == before.attention_reason

    def test_each_operation_accepts_the_business_id(self, fake_steps, define, begin):  # noqa: F811
        for verb in ("retry", "query", "skip", "compensate", "resolve", "cancel"):
            fake_steps.answers("call2", NeedsReview("amounts differ"))
            waiting = engine.advance_saga(begin(define()))
            given = ("--result", '{"state": "paid"}') if verb == "skip" else ()
            assert saga(verb, waiting.business_id, "--reason", "so", *given).startswith(f"{verb}: done.")
        assert StaffAction.objects.values("action").distinct().count() == 6
        assert set(StaffAction.objects.values_list("actor", flat=True)) == {"terminal:operator"}

    def test_an_old_revision_is_refused(self, saga_in_review):
        seen = reload(saga_in_review).revision
        saga("resolve", str(saga_in_review.id), "--reason", "x", "--revision", str(seen))
        text = refused("retry", str(saga_in_review.id), "--reason", "x", "--revision", str(seen))
        assert text == f"It has changed meanwhile: you saw revision {seen}, now it is {seen + 1}. Look again."
        assert StaffAction.objects.count() == 1

    @pytest.mark.parametrize(
        ("result", "why"),
        [
            ("", "Enter the result of the step"),
            ("{state: paid}", "line 1, column 2"),
            ('{"a": NaN}', "NaN is not JSON"),
            ('{"a": "\\u0000"}', "NUL"),
            ('{"a": "\\ud800"}', "lone surrogate"),
            ('{"a": 1, "a": 2}', "more than once"),
            ("[1]", "must be a JSON object"),
            ('"paid"', "must be a JSON object"),
        ],
    )
    def test_an_invalid_result_is_refused(self, saga_in_review, result, why):
        assert why in refused("skip", str(saga_in_review.id), "--reason", "x", "--result", result)
        assert reload(saga_in_review).needs_attention
        assert not StaffAction.objects.exists()

    def test_a_refused_operation_is_not_recorded(self, done):
        assert refused("retry", str(done.id), "--reason", "x") == "The saga has ended: Completed."
        assert not StaffAction.objects.exists()

    def test_an_actor_and_a_reason_are_required(self, saga_in_review, monkeypatch):
        assert "--reason" in refused("retry", str(saga_in_review.id))
        assert "Give your name" in refused("retry", str(saga_in_review.id), "--reason", " ")
        monkeypatch.delenv("USER")
        assert "--actor is missing" in refused("retry", str(saga_in_review.id), "--reason", "x")

    def test_the_audit_entry_and_the_operation_are_one_transaction(self, saga_in_review, monkeypatch):
        before = reload(saga_in_review).__dict__

        def broken(**_row):
            raise ZeroDivisionError

        monkeypatch.setattr(StaffAction.objects, "create", broken)
        with pytest.raises(ZeroDivisionError):
            saga("retry", str(saga_in_review.id), "--reason", "x")
        after = reload(saga_in_review).__dict__
        assert {**after, "_state": None} == {**before, "_state": None}
        assert not SagaEvent.objects.filter(saga_id=saga_in_review.id, kind=SagaEvent.Kind.PERSON).exists()

    def test_a_worker_continues_the_saga_afterwards(self, saga_in_review, fake_steps):  # noqa: F811
        fake_steps.answers("call2:query", Success())
        saga("query", str(saga_in_review.id), "--reason", "x")
        assert engine.resume_saga(saga_in_review.id) is not None
        assert reload(saga_in_review).status == SagaStatus.COMPLETED


def test_staff_actions_cannot_be_changed_or_deleted(saga_in_review):
    saga("retry", str(saga_in_review.id), "--reason", "x")
    for change in (
        lambda: StaffAction.objects.update(actor="nobody"),
        lambda: StaffAction.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError, match="append-only"):
            change()
    assert StaffAction.objects.get().actor == "terminal:operator"


def test_an_unknown_definition():
    text = refused("graph", "payment.make")
    assert "There is no definition 'payment.make': there are " in text
    assert "payment.cancel, payment.capture" in text


@pytest.mark.parametrize(
    "name",
    [
        "payment.create",
        "payment.retry",
        "payment.cancel",
        "payment.capture",
        "payment.complete",
        "refund.create",
    ],
)
def test_the_documentation_shows_what_the_command_draws(name):
    blocks = re.findall(r"```text\n(.*?)```", Path(settings.BASE_DIR, "docs/SAGAS.md").read_text(), re.DOTALL)
    assert saga("graph", name) in blocks


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0 ms"),
        (42, "42 ms"),
        (1500, "1.5 s"),
        (20_000, "20 s"),
        (59_960, "1 min"),
        (90_000, "1 min"),
        (3_600_000, "1 h"),
        (2 * 86_400_000, "2 d"),
    ],
)
def test_durations_as_text(milliseconds, text):
    with translation.override("en"):
        assert format_duration(dt.timedelta(milliseconds=milliseconds)) == text
