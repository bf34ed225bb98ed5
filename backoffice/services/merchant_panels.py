"""The panels on a merchant's page, one function each. Their cost does not grow with the merchant."""

from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from audit.action_types import StaffActionType
from backoffice.page_parts import Panel
from backoffice.services import endpoint_health
from backoffice.services.merchant_people import list_acting_people
from channel_accounts.models import StoredChannelAccount
from common.admin import money_text
from common.admin_labels import label_of
from common.list_columns import show_moment
from gateway.models import PaymentStatus
from ledger.balances import read_merchant_balances
from merchants.models import ApiKey, Environment, Merchant

# The newest payments of a merchant, in the order of the index payment_by_merchant: this bounds the cost.
MAX_PAYMENTS = 10_000
MAX_ACCOUNTS = 50
MAX_KEYS = 20
DAYS = 30
VOLUMES = """
SELECT environment, currency, count(*), count(*) FILTER (WHERE status = %(succeeded)s),
       coalesce(sum(captured_minor), 0)::bigint, coalesce(sum(refunded_minor), 0)::bigint,
       count(*) FILTER (WHERE status = 'failed')
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


def volume_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    """Payments, captured and refunded money of the last 30 days, of at most the newest 10,000 payments."""
    given: dict[str, Any] = {
        "merchant": merchant_id,
        "most": MAX_PAYMENTS,
        "days": DAYS,
        "succeeded": PaymentStatus.SUCCEEDED.value,
    }
    with connection.cursor() as cursor:
        cursor.execute(VOLUMES, given)
        found = [row for row in cursor.fetchall() if row[0] in environments]
    return Panel(
        title=_("Volume of the last %(days)d days (of the newest %(most)s payments)")
        % {"days": DAYS, "most": number_format(MAX_PAYMENTS)},
        columns=(
            _("environment"),
            _("payments"),
            _("success rate"),
            _("captured"),
            _("refunded"),
        ),
        rows=[
            (
                str(Environment(environment).label),
                str(payments),
                _format_rate(succeeded, failed),
                money_text(captured, currency),
                money_text(refunded, currency),
            )
            for environment, currency, payments, succeeded, captured, refunded, failed in found
        ],
        empty_text=_("No payments."),
        links=[_payments_url(merchant_id, environment, currency) for environment, currency, *_sums in found],
    )


def _format_rate(succeeded: int, failed: int) -> str:
    """Of ended payments; those that the customer abandoned do not count."""
    ended = succeeded + failed
    return f"{number_format(round(100 * succeeded / ended, 1))} %" if ended else "—"


def _payments_url(merchant_id: UUID, environment: str, currency: str) -> str:
    shown = {"merchant": str(merchant_id), "environment": environment, "currency": currency}
    return f"{reverse('admin:gateway_payment_changelist')}?{urlencode(shown)}"


def endpoint_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    found = endpoint_health.load_endpoint_health(merchant_id=merchant_id)
    rows = [endpoint for endpoint in found if endpoint.environment in environments]
    return Panel(
        title=_("Webhook endpoints (of each the newest %(most)s deliveries of 24 hours)")
        % {"most": number_format(endpoint_health.MAX_DELIVERIES)},
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
                show_moment(endpoint.succeeded_at),
                show_moment(endpoint.failed_at),
            )
            for endpoint in rows
        ],
        empty_text=_("No endpoints."),
        links=[reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.id]) for endpoint in rows],
    )


def balance_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    """The merchant's balance over all channel accounts, from the ledger."""
    balances = [
        (environment, balance)
        for environment in Environment
        if environment in environments
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


def account_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    """The merchant's own and connected channel accounts. Payments without one use the platform's."""
    accounts = list(
        StoredChannelAccount.objects.filter(merchant_id=merchant_id, environment__in=environments)
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


def key_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    """The newest keys; never a secret."""
    keys = list(
        ApiKey.objects.filter(merchant_id=merchant_id, environment__in=environments)
        .defer("key_hash", "sealed_secret")
        .order_by("-pk")[:MAX_KEYS]
    )
    now = timezone.now()
    return Panel(
        title=_("API keys"),
        columns=(
            _("key"),
            _("environment"),
            _("name"),
            _("status"),
            _("scopes"),
            _("allowed addresses"),
            _("last used at"),
        ),
        rows=[
            (
                key.hint,
                str(Environment(key.environment).label),
                key.label or "—",
                str(key.state_at(now).label),
                ", ".join(key.scopes),
                ", ".join(key.allowed_ips) or _("any"),
                show_moment(key.last_used_at),
            )
            for key in keys
        ],
        empty_text=_("No API keys."),
        links=[reverse("admin:merchants_apikey_change", args=[key.pk]) for key in keys],
    )


def people_panel(merchant_id: UUID, environments: Collection[str]) -> Panel:
    """The contact, then who acted on what belongs to the merchant, the newest first."""
    contact = Merchant.objects.values_list("email", flat=True).get(pk=merchant_id)
    people = list_acting_people(merchant_id=merchant_id, environments=environments)
    return Panel(
        title=_("Users"),
        columns=(_("person or key"), _("kind"), _("last action"), _("last action at")),
        rows=[
            (contact, _("Contact"), "—", "—"),
            *(
                (
                    person.key_hint or person.actor,
                    _("API key") if person.key_hint else _("Staff"),
                    str(label_of(StaffActionType, person.last_action)),
                    show_moment(person.last_action_at),
                )
                for person in people
            ),
        ],
        note=_(
            "A merchant has no accounts to sign in with: its programs act with API keys, and staff act for it. The last"
            " actions are on its keys, channel accounts, endpoints, bank accounts and settings."
        ),
    )


# Each with the permission to view what it shows.
PANELS: Sequence[tuple[str, Callable[[UUID, Collection[str]], Panel]]] = (
    ("gateway.view_payment", volume_panel),
    ("ledger.view_ledgertransfer", balance_panel),
    ("channel_accounts.view_storedchannelaccount", account_panel),
    ("webhooks.view_webhookendpoint", endpoint_panel),
    ("merchants.view_apikey", key_panel),
    ("merchants.view_merchant", people_panel),
)


def panels(*, merchant_id: UUID, environments: Collection[str], user: Any) -> list[Panel]:
    return [panel(merchant_id, environments) for permission, panel in PANELS if user.has_perm(permission)]
