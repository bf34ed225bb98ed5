"""Daily balances of some days, schedules, and destinations."""

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from backoffice.reports import services
from backoffice.reports.destination_settings import Folder
from backoffice.reports.models import ReportSchedule
from backoffice.reports.services import NewSchedule
from ledger.chart import AccountIdentity, LedgerAccountKind
from ledger.models import DailyBalance, LedgerAccount
from merchants.services import NewMerchant
from tests.office_access.conftest import member, signed_in
from tests.support.fixtures import _in_a_hurry, acme, client, new_merchant  # noqa: F401

DAY = dt.date(2026, 1, 5)  # a Monday


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def book(
    merchant: NewMerchant | None,
    day: dt.date,
    kind: LedgerAccountKind,
    *,
    credit: int = 0,
    debit: int = 0,
    pending: int = 0,
    currency: str = "USD",
    channel: str = "simulator",
) -> None:
    """Stores the daily balance that a day of transfers would have, without the transfers."""
    merchant_id = merchant.merchant.pk if merchant else None
    account = AccountIdentity(kind, "test", currency, merchant_id, channel, None)
    LedgerAccount.objects.get_or_create(
        id=account.id,
        defaults={
            "kind": kind,
            "environment": "test",
            "currency": currency,
            "merchant_id": merchant_id,
            "channel": channel,
        },
    )
    DailyBalance.objects.create(
        account_id=account.id,
        day=day,
        posted_credit_minor=credit,
        posted_debit_minor=debit,
        pending_debit_minor=pending,
        entry_count=1,
    )


@pytest.fixture
def folder(settings: Any, tmp_path: Path) -> Path:
    settings.REPORT_DESTINATIONS = {"archive": Folder(tmp_path / "reports")}
    return tmp_path / "reports"


@pytest.fixture(autouse=True)
def _days_of_2026_stay_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_BEHIND", dt.timedelta(days=36_500))


@pytest.fixture
def schedule(transactional_db: None) -> Callable[..., ReportSchedule]:
    def create(**changes: Any) -> ReportSchedule:
        wanted = {
            "name": "totals",
            "kind": "daily_totals",
            "filters": {},
            "time_zone": "UTC",
            "frequency": "daily",
            "run_time": dt.time(6, 30),
            "file_format": "csv",
            "destination": "archive",
            "first_day": DAY,
            **changes,
        }
        return services.create_schedule(NewSchedule(**wanted), actor="ana", reason="month's end")

    return create


@pytest.fixture
def finance(transactional_db: None) -> Client:
    return signed_in(member("fin", "Finance"))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 server that speaks HTTP on a port of its own. Returns its address."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
