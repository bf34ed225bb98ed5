"""A process that makes payouts as staff do, on command: `python -m tests.support.payout_desk`.

It reads one command a line as JSON, and answers with one line. Each command runs in a child process. With `crash_at`
the child is killed at this crash point, and the answer is `{"answer": {"killed": true}}`. Other lines are log lines.
"""

import json
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Callable
from typing import Any

import django

IBAN = {"kind": "iban", "holder": "Acme GmbH", "account_no": "DE89 3704 0044 0532 0130 00", "bank_code": ""}


def main() -> None:
    django.setup()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _obey(order)
        _pid, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            _answer({"killed": True})
        elif status:
            _answer({"failed": status})


def _obey(order: dict[str, Any]) -> None:
    """Never returns."""
    os.environ["PAYMENT_CRASH_AT"] = order.pop("crash_at", "")
    act = _ACTS[order.pop("act")]
    try:
        _answer({"result": act(**order)})
        os._exit(0)
    finally:  # only after an exception
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps({'answer': answer})}\n")
    sys.stdout.flush()


def _sign_up(currency: str) -> dict[str, str]:
    """Creates a merchant that can get payouts in the currency."""
    from django.db.models.functions import Now

    from merchants import services as merchants
    from payouts.models import BankAccount
    from payouts.services import bank_accounts, plans

    name = uuid.uuid4().hex
    merchant = merchants.create_merchant(name=name, email=f"{name}@example.com")
    merchant_id = merchant.merchant.id
    owner: dict[str, Any] = {
        "merchant_id": merchant_id,
        "environment": "test",
        "actor": "ann",
        "reason": "contract",
    }
    plans.set_plan(**owner, values={})
    account = bank_accounts.request_bank_account(**owner, currency=currency, details=IBAN)
    bank_accounts.approve_bank_account(
        account_id=account.id, actor="bob", reason="called them", find_conflict=_find_conflict
    )
    BankAccount.objects.filter(id=account.id).update(usable_from=Now())
    return {"id": str(merchant_id), "key": merchant.test_key.key, "secret": merchant.test_key.secret}


def _pay_daily(merchant_id: str) -> None:
    from payouts.services import plans

    plans.set_plan(
        merchant_id=uuid.UUID(merchant_id),
        environment="test",
        values={"schedule": "daily"},
        actor="ann",
        reason="contract",
    )


def _send_schedule() -> None:
    """Sends the periodic task that beat sends every ten minutes."""
    from payouts.tasks import create_scheduled_runs

    create_scheduled_runs.delay()


def _create_run(merchant_id: str, currency: str) -> str:
    from payouts.services import runs

    merchant_ids = [uuid.UUID(merchant_id)]
    run_id = runs.create_run(
        environment="test", currency=currency, merchant_ids=merchant_ids, actor="ann", reason="weekly"
    )
    return str(run_id)


def _adopt_run(run_id: str) -> None:
    from payouts.services import runs

    runs.adopt_run(run_id=uuid.UUID(run_id), actor="ann", reason="checked")


def _approve_run(run_id: str) -> None:
    from payouts.services import runs

    runs.approve_run(run_id=uuid.UUID(run_id), actor="bob", reason="checked", find_conflict=_find_conflict)


def _reject_run(run_id: str) -> None:
    from payouts.services import runs

    runs.reject_run(run_id=uuid.UUID(run_id), actor="bob", reason="too much")


def _find_conflict(approver: str, requester: str) -> str:
    return "the same person" if approver == requester else ""


_ACTS: dict[str, Callable[..., Any]] = {
    "sign_up": _sign_up,
    "pay_daily": _pay_daily,
    "send_schedule": _send_schedule,
    "create_run": _create_run,
    "adopt_run": _adopt_run,
    "approve_run": _approve_run,
    "reject_run": _reject_run,
}


if __name__ == "__main__":
    main()
