"""The panels on a merchant's page, one function each. Their cost does not grow with the merchant."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse
from django.utils.formats import localize
from django.utils.http import urlencode
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from backoffice.page_parts import Panel
from backoffice.services import endpoint_health
from channel_accounts.models import StoredChannelAccount
from common.admin import money_text
from gateway.models import PaymentStatus
from ledger.balances import read_merchant_balances
from merchants.models import Environment

# The newest payments of a merchant, in the order of the index payment_by_merchant: this bounds the cost.
MAX_PAYMENTS = 10_000
MAX_ACCOUNTS = 50
DAYS = 30
VOLUMES = """
SELECT environment, currency, count(*), count(*) FILTER (WHERE status = %(succeeded)s),
       coalesce(sum(captured_minor), 0)::bigint, coalesce(sum(refunded_minor), 0)::bigint
FROM (
    (SELECT environment, currency, status, captured_minor, refunded_minor, created_at FROM payments
     WHERE merchant_id = %(merchant)s AND environment = 'test' ORDER BY created_at DESC, id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT environment, currency, status, captured_minor, refunded_minor, created_at FROM payments
     WHERE merchant_id = %(merchant)s AND environment = 'live' ORDER BY created_at DESC, id DESC LIMIT %(most)s)
) AS newest
WHERE created_at >= now() - make_interval(days => %(days)s)
GROUP BY environment, currency ORDER BY environment, currency
"""


def volume_panel(merchant_id: UUID) -> Panel:
    """Payments, captured and refunded money of the last 30 days, of at most the newest 10,000 payments."""
    given: dict[str, Any] = {
        "merchant": merchant_id,
        "most": MAX_PAYMENTS,
        "days": DAYS,
        "succeeded": PaymentStatus.SUCCEEDED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(VOLUMES, given)
        found = cursor.fetchall()
    return Panel(
        title=_("Volume of the last %(days)d days (of the newest %(most)d payments)")
        % {"days": DAYS, "most": MAX_PAYMENTS},
        columns=(
            _("environment"),
            _("payments"),
            _("succeeded"),
            _("captured"),
            _("refunded"),
        ),
        rows=[
            (
                str(Environment(environment).label),
                str(payments),
                str(succeeded),
                money_text(captured, currency),
                money_text(refunded, currency),
            )
            for environment, currency, payments, succeeded, captured, refunded in found
        ],
        empty_text=_("No payments."),
        links=[_payments_url(merchant_id, environment, currency) for environment, currency, *_sums in found],
    )


def _payments_url(merchant_id: UUID, environment: str, currency: str) -> str:
    shown = {"merchant": str(merchant_id), "environment": environment, "currency": currency}
    return f"{reverse('admin:gateway_payment_changelist')}?{urlencode(shown)}"


def endpoint_panel(merchant_id: UUID) -> Panel:
    rows = endpoint_health.load_endpoint_health(merchant_id=merchant_id)
    return Panel(
        title=_("Webhook endpoints (of each the newest %(most)d deliveries of 24 hours)")
        % {"most": endpoint_health.MAX_DELIVERIES},
        columns=(
            _("endpoint"),
            _("environment"),
            _("status"),
            _("delivered"),
            _("failed"),
            _("pending"),
            _("last success"),
            _("last failure"),
        ),
        rows=[
            (
                endpoint.name,
                str(Environment(endpoint.environment).label),
                endpoint.state,
                *(f"{count}{'+' if endpoint.is_truncated else ''}" for count in endpoint.counts),
                _format_time(endpoint.succeeded_at),
                _format_time(endpoint.failed_at),
            )
            for endpoint in rows
        ],
        empty_text=_("No endpoints."),
        links=[reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.id]) for endpoint in rows],
    )


def _format_time(moment: dt.datetime | None) -> str:
    return localize(localtime(moment)) if moment else "—"


def balance_panel(merchant_id: UUID) -> Panel:
    """The merchant's balance over all channel accounts, from the ledger."""
    balances = [
        (environment, balance)
        for environment in Environment
        for balance in read_merchant_balances(merchant_id=merchant_id, environment=environment.value)
    ]
    return Panel(
        title=_("Balance"),
        columns=(_("environment"), _("posted"), _("reserved for refunds"), _("available")),
        rows=[
            (
                str(environment.label),
                money_text(balance.posted_minor, balance.currency),
                money_text(balance.reserved_minor, balance.currency),
                money_text(balance.available_minor, balance.currency),
            )
            for environment, balance in balances
        ],
        empty_text=_("No money has been posted yet."),
    )


def account_panel(merchant_id: UUID) -> Panel:
    """The merchant's own and connected channel accounts. Payments without one use the platform's."""
    accounts = list(
        StoredChannelAccount.objects.filter(merchant_id=merchant_id)
        .only("display_name", "channel", "kind", "account_no", "environment", "status", "last_check_result")
        .order_by("environment", "channel", "-id")[:MAX_ACCOUNTS]
    )
    return Panel(
        title=_("Channel accounts"),
        columns=(
            _("name"),
            _("channel"),
            _("kind"),
            _("account number"),
            _("environment"),
            _("status"),
            _("last check"),
        ),
        rows=[
            (
                account.display_name or account.channel,
                account.channel,
                account.get_kind_display(),
                account.account_no or "—",
                str(Environment(account.environment).label),
                account.get_status_display(),
                account.get_last_check_result_display() or "—",
            )
            for account in accounts
        ],
        empty_text=_("None of its own: payments use the accounts of the platform."),
        links=[
            reverse("admin:channel_accounts_storedchannelaccount_change", args=[account.pk])
            for account in accounts
        ],
    )


PANELS: Sequence[Callable[[UUID], Panel]] = (
    volume_panel,
    balance_panel,
    account_panel,
    endpoint_panel,
)


def panels(*, merchant_id: UUID) -> list[Panel]:
    return [panel(merchant_id) for panel in PANELS]
