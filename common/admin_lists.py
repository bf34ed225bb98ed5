"""Lists of big tables: paged by key instead of OFFSET, counted by estimate, filtered by inputs."""

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import ListFilter
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.db import without_prepared_plans
from common.money import EXPONENTS, MAX_AMOUNT_MINOR

OLDER, NEWER = "older", "newer"


class KeysetChangeList(ChangeList):
    """Pages by key: each page is one range of an index and starts where the page before ended.

    `ordering` of the admin is one column, newest first. The primary key orders rows with the same value.
    """

    older_url = newer_url = ""
    is_estimate = False

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.cursors: dict[str, str] = {}
        for name in (OLDER, NEWER):
            self.filter_params.pop(name, None)
            if value := self.params.pop(name, None):
                self.cursors[name] = value
        found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return found

    def get_filters(self, request: HttpRequest) -> Any:
        """Refuses parameters that no filter offers. Django accepts lookups on any field: `?password__startswith=` would
        reveal a secret letter by letter, by showing the row or not."""
        found = super().get_filters(request)
        _specs, _has_filters, not_offered, *_others = found
        if not_offered:
            raise DisallowedModelAdminLookup(f"No filter of this list is called {', '.join(not_offered)}.")
        return found

    def get_results(self, request: HttpRequest) -> None:
        column = _column(self.model_admin)
        size = self.list_per_page
        newer = NEWER in self.cursors
        key = _decoded(self.model, column, self.cursors.get(NEWER) or self.cursors.get(OLDER) or "")
        page = self.queryset.order_by(*_order(column, forward=newer))
        if key is not None:
            page = page.filter(_beyond(column, key, forward=newer))
        with without_prepared_plans(page.db):
            rows = list(page[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        if newer:
            rows.reverse()
        has_older, has_newer = (key is not None, more) if newer else (more, key is not None)
        self.older_url = self._to(OLDER, column, rows[-1]) if has_older and rows else ""
        self.newer_url = self._to(NEWER, column, rows[0]) if has_newer and rows else ""
        self.result_list = rows
        whole = not (self.older_url or self.newer_url)
        self.result_count = len(rows) if whole else estimate(self.queryset, at_least=len(rows))
        self.is_estimate = not whole
        self.full_result_count = self.result_count  # otherwise the theme offers to show all rows
        self.show_full_result_count = False
        self.show_admin_actions = True
        self.can_show_all = self.multi_page = False
        self.paginator = None

    @property
    def count_text(self) -> str:
        return number_format(self.result_count, force_grouping=True)

    def _to(self, way: str, column: str, row: Model) -> str:
        query: str = self.get_query_string({way: _encoded(column, row)})
        return query


def estimate(rows: QuerySet[Any], *, at_least: int) -> int:
    """Returns how many rows the planner expects, from its statistics."""
    sql, parameters = rows.order_by().values("pk").query.sql_with_params()
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return max(int(plan[0]["Plan"]["Plan Rows"]), at_least)


def _column(model_admin: Any) -> str:
    first = (model_admin.ordering or ("-pk",))[0]
    return first.removeprefix("-") if isinstance(first, str) and first.startswith("-") else "pk"


def _order(column: str, *, forward: bool) -> list[Any]:
    names = [column] if column in ("pk", "id") else [column, "pk"]
    return [F(name).asc() if forward else F(name).desc() for name in names]


def _beyond(column: str, key: tuple[Any, Any], *, forward: bool) -> Q:
    """The first condition gives the index its start."""
    value, pk = key
    way = "gt" if forward else "lt"
    if column in ("pk", "id"):
        return Q(**{f"pk__{way}": pk})
    tied = Q(**{f"{column}__{way}": value}) | Q(**{column: value, f"pk__{way}": pk})
    return Q(**{f"{column}__{way}e": value}) & tied


def _encoded(column: str, row: Model) -> str:
    value = getattr(row, column)
    text = value.isoformat() if isinstance(value, dt.datetime) else str(value)
    return base64.urlsafe_b64encode(json.dumps([text, str(row.pk)]).encode()).decode().rstrip("=")


def _decoded(model: type[Model], column: str, cursor: str) -> tuple[Any, Any] | None:
    """Returns None for an invalid cursor: the list then shows the first page."""
    if not cursor:
        return None
    field = model._meta.pk if column == "pk" else model._meta.get_field(column)
    try:
        text, pk = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        assert model._meta.pk is not None
        return field.to_python(text), model._meta.pk.to_python(pk)  # type: ignore[union-attr]
    except (ValueError, TypeError, binascii.Error, ValidationError):
        return None


@dataclass(frozen=True, slots=True)
class FilterInput:
    parameter: str
    label: Promise
    kind: str = "text"  # of the HTML input


class InputsFilter(ListFilter):
    """A filter with input fields. Invalid values are reported and ignored."""

    template = "office/filter_inputs.html"
    inputs: ClassVar[Sequence[FilterInput]] = ()

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for each in self.inputs:
            if each.parameter in params:
                value = params.pop(each.parameter)
                self.used_parameters[each.parameter] = value[-1] if isinstance(value, list) else value

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return [each.parameter for each in self.inputs]

    def value(self, parameter: str) -> str:
        return str(self.used_parameters.get(parameter) or "").strip()

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        mine = {each.parameter for each in self.inputs}
        kept = [
            (name, value)
            for name, values in changelist.filter_params.items()
            if name not in mine
            for value in (values if isinstance(values, list) else [values])
        ]
        fields = [
            {
                "name": each.parameter,
                "label": each.label,
                "kind": each.kind,
                "value": self.value(each.parameter),
            }
            for each in self.inputs
        ]
        yield {"fields": fields, "kept": kept, "selected": any(field["value"] for field in fields)}

    def report_invalid(self, request: HttpRequest, each: FilterInput) -> None:
        messages.warning(
            request,
            _("%(field)s: “%(value)s” is not valid and was ignored.")
            % {"field": each.label, "value": self.value(each.parameter)[:50]},
        )


class CreatedFilter(InputsFilter):
    title = gettext_lazy("time")
    inputs = (
        FilterInput("created_from", gettext_lazy("From"), "datetime-local"),
        FilterInput("created_to", gettext_lazy("To"), "datetime-local"),
    )

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return _between(self, request, rows, "created_at")


class PaidFilter(InputsFilter):
    title = gettext_lazy("time of payment")
    inputs = (
        FilterInput("paid_from", gettext_lazy("From"), "datetime-local"),
        FilterInput("paid_to", gettext_lazy("To"), "datetime-local"),
    )

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return _between(self, request, rows, "paid_at")


def _between(inputs: InputsFilter, request: HttpRequest, rows: QuerySet[Any], column: str) -> QuerySet[Any]:
    """From the first time on and before the second; UTC where the input has no offset."""
    for each, way in zip(inputs.inputs, ("gte", "lt"), strict=True):
        if not inputs.value(each.parameter):
            continue
        moment = _moment(inputs.value(each.parameter))
        if moment is None:
            inputs.report_invalid(request, each)
        else:
            rows = rows.filter(**{f"{column}__{way}": moment})
    return rows


class AmountFilter(InputsFilter):
    """In major units. Without a currency, each row is compared in the decimals of its own currency."""

    title = gettext_lazy("amount")
    inputs = (
        FilterInput("currency", gettext_lazy("Currency")),
        FilterInput("amount_from", gettext_lazy("From")),
        FilterInput("amount_to", gettext_lazy("To")),
    )

    def queryset(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        currency = self.value("currency").upper()
        if currency and currency not in EXPONENTS:
            self.report_invalid(request, self.inputs[0])
            currency = ""
        bounds: dict[str, Decimal] = {}
        for each, way in zip(self.inputs[1:], ("gte", "lte"), strict=True):
            if not self.value(each.parameter):
                continue
            amount = _amount(self.value(each.parameter))
            if amount is None:
                self.report_invalid(request, each)
            else:
                bounds[way] = amount
        if currency:
            return rows.filter(_amount_is(bounds, [currency], EXPONENTS[currency]))
        return rows.filter(_amount_in_any(bounds)) if bounds else rows


def _amount_in_any(bounds: Mapping[str, Decimal]) -> Q:
    """Repeats both bounds for each group of currencies: the planner then estimates the few matching rows."""
    condition = Q()
    for exponent in sorted(set(EXPONENTS.values())):
        condition |= _amount_is(
            bounds, [name for name, places in EXPONENTS.items() if places == exponent], exponent
        )
    return condition


def _amount_is(bounds: Mapping[str, Decimal], currencies: Sequence[str], exponent: int) -> Q:
    measured = {
        f"amount_minor__{way}": min(int(amount.scaleb(exponent)), MAX_AMOUNT_MINOR)
        for way, amount in bounds.items()
    }
    return Q(currency__in=currencies, **measured)


def _amount(text: str) -> Decimal | None:
    try:
        amount = Decimal(text.replace(",", ""))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount <= MAX_AMOUNT_MINOR else None


def _moment(text: str) -> dt.datetime | None:
    try:
        moment = parse_datetime(text)
        if moment is None and (day := parse_date(text)):
            moment = dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
    except ValueError:
        return None
    if moment is None:
        return None
    return moment if timezone.is_aware(moment) else moment.replace(tzinfo=dt.UTC)
