"""The results of a search, grouped by kind. A person sees the kinds and rows that the lists of the admin show them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin
from django.db.models import Case, Count, IntegerField, Model, Q, QuerySet, Value, When, Window
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from audit.models import StaffAction
from backoffice.search.statements import FoundIds, find_ids
from backoffice.search.terms import parse_term
from channels.registry import list_channel_names
from common.admin import money_text
from gateway.admin.cards import format_card
from gateway.admin.disputes import DISPUTE_COLOURS
from gateway.admin.shared import COLOURS as PAYMENT_COLOURS
from gateway.models import ChannelEvent, Dispute, Payment, Refund
from idempotency.models import IdempotencyKey
from merchants.models import Environment, Merchant
from orders.admin import COLOURS as ORDER_COLOURS
from orders.models import Order
from sagas.admin import COLOURS as SAGA_COLOURS
from sagas.models import SagaInstance

SHOWN_OF_A_KIND: Final = 5


@dataclass(frozen=True, slots=True)
class SearchResult:
    """`tone` is the colour of the status."""

    title: str
    url: str
    detail: str = ""
    amount: str = ""
    status: str = ""
    tone: str = "neutral"
    environment: str = ""
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class SearchResults:
    """`others` counts what was found in the other environment and is not among the results."""

    label: str
    results: Sequence[SearchResult]
    has_more: bool
    others: int = 0


@dataclass(frozen=True, slots=True)
class SearchKind:
    """`condition` selects the rows that were found, `identity` names those that the term names in full."""

    model: type[Model]
    condition: Callable[[FoundIds], Q | None]
    identity: Callable[[FoundIds], set[str]]
    describe: Callable[[Any], Mapping[str, Any]]
    joins: Sequence[str] = ()
    order: str = "-pk"

    @property
    def environment(self) -> str:
        """The column with test or live; empty for a kind that belongs to neither."""
        names = {field.name for field in self.model._meta.fields}
        return next((name for name in ("environment", "task_queue") if name in names), "")


def search(
    request: HttpRequest, typed: str, *, environment: str = "", shown: int = SHOWN_OF_A_KIND
) -> list[SearchResults]:
    """With an environment, what was found in the other one is only counted, unless the term names it in full."""
    term = parse_term(typed)
    if term is None:
        return []
    found = find_ids(term, list_channel_names(), environment=environment)
    return [
        group for kind in KINDS if (group := _group(request, kind, found, environment, shown)) is not None
    ]


def find_only_exact(groups: Sequence[SearchResults]) -> str:
    """Returns the address of the one object that the term names in full; empty when it names none or several."""
    exact = [result.url for group in groups for result in group.results if result.is_exact]
    return exact[0] if len(exact) == 1 else ""


def _group(
    request: HttpRequest, kind: SearchKind, found: FoundIds, environment: str, shown: int
) -> SearchResults | None:
    model_admin = admin.site.get_model_admin(kind.model)
    condition = kind.condition(found)
    if condition is None or not model_admin.has_view_permission(request):
        return None
    rows = model_admin.get_queryset(request).filter(condition).select_related(*kind.joins)
    order = []
    if environment and kind.environment:
        rows, order = _mark_others(rows, Q(**{kind.environment: environment})), ["is_other"]
    page = list(rows.order_by(*order, kind.order)[: shown + 1])
    exact = kind.identity(found)
    if exact:  # they come first, also when newer rows begin with the same letters
        named = [row for row in page if str(row.pk) in exact]
        if len(named) < len(exact):
            named = list(rows.filter(pk__in=exact)[:shown])
        page = [*named, *(row for row in page if str(row.pk) not in exact)]
    if not page:
        return None
    others = max((getattr(row, "others", 0) for row in page), default=0)
    # What is named in full is shown from both environments.
    page = [row for row in page if not getattr(row, "is_other", 0) or str(row.pk) in exact]
    others -= sum(getattr(row, "is_other", 0) for row in page[:shown])
    name = f"admin:{kind.model._meta.app_label}_{kind.model._meta.model_name}_change"
    results = [
        SearchResult(
            **{"environment": getattr(row, "environment", ""), **kind.describe(row)},
            url=reverse(name, args=[row.pk]),
            is_exact=str(row.pk) in exact,
        )
        for row in page[:shown]
    ]
    return SearchResults(
        capfirst(str(kind.model._meta.verbose_name_plural)), results, len(page) > shown, others
    )


def _mark_others(rows: QuerySet[Any], condition: Q) -> QuerySet[Any]:
    """Counts the rows of the other environment in the statement that reads the first rows of this one."""
    marked: QuerySet[Any] = rows.annotate(
        is_other=Case(When(condition, then=Value(0)), default=Value(1), output_field=IntegerField()),
        others=Window(Count("pk", filter=~condition)),
    )
    return marked


def _any_of(conditions: Mapping[str, Sequence[str]]) -> Q | None:
    condition = Q()
    for path, values in conditions.items():
        if values:
            condition |= Q(**{f"{path}__in": values})
    return condition or None


# --- payments: by their own numbers, and by those of their order, attempts and request

PAYMENT_SOURCES = (
    "payment_no",
    "trade_no",
    "customer_email",
    "customer_id",
    "customer_name",
    "attempt",
    "order_payment",
    "payment_amount",
    "payment_id",
    "created_by_request",
)


def _payment_condition(found: FoundIds) -> Q | None:
    return _any_of({"pk": found.of(*PAYMENT_SOURCES), "order": found.of("order_no")})


def _name_order(found: FoundIds) -> set[str]:
    """An order number names the payment, if there is one: its page has the order too."""
    return found.exact_of("order_id", *(() if found.exact_of("order_payment") else ("order_no",)))


def _describe_payment(payment: Payment) -> dict[str, Any]:
    customer = payment.customer.get("email") or payment.customer.get("name") or ""
    known = (payment.order_no, payment.merchant.name, customer, format_card(payment))
    return {
        "title": payment.payment_no,
        "detail": " · ".join(filter(None, known)),
        **_money_and_status(payment, PAYMENT_COLOURS),
    }


def _describe_refund(refund: Refund) -> dict[str, Any]:
    return {
        "title": refund.refund_no,
        "detail": f"{refund.payment.payment_no} · {refund.merchant.name}",
        **_money_and_status(refund, PAYMENT_COLOURS),
    }


def _describe_order(order: Order) -> dict[str, Any]:
    return {
        "title": order.order_no,
        "detail": f"{order.subject} · {order.merchant.name}",
        **_money_and_status(order, ORDER_COLOURS),
    }


def _describe_dispute(dispute: Dispute) -> dict[str, Any]:
    return {
        "title": dispute.dispute_no,
        "detail": f"{dispute.payment.payment_no} · {dispute.merchant.name}",
        **_money_and_status(dispute, DISPUTE_COLOURS),
    }


def _describe_saga(saga: SagaInstance) -> dict[str, Any]:
    amount, currency = saga.metadata.get("amount_minor"), saga.metadata.get("currency")
    return {
        "title": f"{saga.definition} {saga.business_id}",
        "detail": str(saga.pk),
        "amount": money_text(amount, currency) if amount and currency else "",
        "status": saga.get_status_display(),
        "tone": SAGA_COLOURS.get(saga.status, "neutral"),
        "environment": saga.task_queue if saga.task_queue in Environment.values else "",
    }


def _describe_merchant(merchant: Merchant) -> dict[str, Any]:
    tone = "success" if merchant.status == "active" else "danger"
    return {
        "title": merchant.name,
        "detail": merchant.email,
        "status": merchant.get_status_display(),
        "tone": tone,
    }


def _describe_request(record: IdempotencyKey) -> dict[str, Any]:
    return {
        "title": record.request_id,
        "detail": f"{record.method} {record.route}",
        "status": str(record.response_status or record.get_state_display()),
        "tone": "success" if (record.response_status or 500) < 400 else "warning",
        "environment": record.tenant.rpartition(":")[2],
    }


def _describe_event(event: ChannelEvent) -> dict[str, Any]:
    return {"title": event.event_id, "detail": f"{event.channel} · {event.reference}", "environment": ""}


def _describe_action(action: StaffAction) -> dict[str, Any]:
    return {"title": str(action), "detail": f"{action.actor} · {action.request_id}"}


def _money_and_status(row: Any, colours: Mapping[str, str]) -> dict[str, str]:
    return {
        "amount": money_text(row.amount_minor, row.currency),
        "status": row.get_status_display(),
        "tone": colours.get(row.status, "neutral"),
    }


def _simple(
    model: type[Model],
    describe: Callable[[Any], Mapping[str, Any]],
    identities: Sequence[str],
    sources: Sequence[str] = (),
    joins: Sequence[str] = (),
    order: str = "-pk",
) -> SearchKind:
    """A kind that is found only by its own ids."""
    return SearchKind(
        model,
        lambda found: _any_of({"pk": found.of(*identities, *sources)}),
        lambda found: found.exact_of(*identities),
        describe,
        joins,
        order,
    )


def _list_kinds() -> Iterator[SearchKind]:
    yield SearchKind(
        Payment,
        _payment_condition,
        lambda found: found.exact_of("payment_no", "trade_no", "attempt", "order_payment", "payment_id"),
        _describe_payment,
        ("merchant",),
        "-created_at",
    )
    yield _simple(
        Refund,
        _describe_refund,
        ("refund_no", "channel_refund_no", "refund_id"),
        ("refund_amount", "created_by_request"),
        ("payment", "merchant"),
        "-created_at",
    )
    yield SearchKind(
        Order,
        lambda found: _any_of({"pk": found.of("order_no", "order_id", "created_by_request")}),
        _name_order,
        _describe_order,
        ("merchant",),
        "-created_at",
    )
    yield _simple(
        Dispute,
        _describe_dispute,
        ("dispute_no", "channel_dispute_no", "dispute_id"),
        joins=("payment", "merchant"),
        order="-created_at",
    )
    yield _simple(SagaInstance, _describe_saga, ("saga_id",), sources=("business_id",), order="-created_at")
    yield _simple(
        Merchant, _describe_merchant, ("merchant_name", "merchant_email", "merchant_id"), order="name"
    )
    yield _simple(IdempotencyKey, _describe_request, ("request_id",))
    yield _simple(StaffAction, _describe_action, ("staff_request_id",))
    yield _simple(ChannelEvent, _describe_event, ("event_id",))


KINDS: Final = tuple(_list_kinds())
