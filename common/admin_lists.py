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
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import F, Model, Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common import active_filters, list_order
from common.db import without_prepared_plans
from common.money import EXPONENTS, MAX_AMOUNT_MINOR

OLDER, NEWER = "older", "newer"
SORT = "sort"  # a column, with a minus for descending


class KeysetChangeList(ChangeList):
    """Pages by key: each page is one range of an index and starts where the page before ended.

    `ordering` of the admin is one column, newest first; `?sort=` names another one that has an index. The primary key
    orders rows with the same value.
    """

    older_url = newer_url = ""
    is_estimate = False
    unknown_filters: Sequence[str] = ()

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        self.cursors: dict[str, str] = {}
        for name in (OLDER, NEWER):
            self.filter_params.pop(name, None)
            if value := self.params.pop(name, None):
                self.cursors[name] = value
        self.sort = list_order.parse_sort(self.model_admin, self.params.get(SORT, ""))
        if self.sort is None:
            messages.error(
                request, _("This list cannot be sorted by “%(name)s”.") % {"name": self.params[SORT][:50]}
            )
            del self.params[SORT], self.filter_params[SORT]
            self.sort = list_order.default_sort(self.model_admin)
        try:
            found: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
            self.unknown_filters = active_filters.find_unknown(self)
        except IncorrectLookupParameters:  # Django would show the whole list instead
            self.filter_params = {}
            found = super().get_queryset(request, exclude_parameters)
            self.unknown_filters = [_("The address has a filter with an unknown value. Remove the filters.")]
        for text in self.unknown_filters:
            messages.error(request, text)
        return found.none() if self.unknown_filters else found

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        found.pop(SORT, None)
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
        assert self.sort is not None
        column, size = self.sort.column, self.list_per_page
        newer = NEWER in self.cursors
        is_upward = newer == self.sort.is_descending
        key = _decoded(self.model, column, self.cursors.get(NEWER) or self.cursors.get(OLDER) or "")
        page = self.queryset.order_by(*_order(column, forward=is_upward))
        if key is not None:
            page = page.filter(_beyond(column, key, forward=is_upward))
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

    def active_filters(self) -> Sequence[active_filters.ActiveFilter]:
        return active_filters.list_active(self)

    def _to(self, way: str, column: str, row: Model) -> str:
        query: str = self.get_query_string({way: _encoded(column, row)})
        return query


def list_query(shown: QueryDict) -> str:
    """The filters, search and order of a list: its address without the page within it."""
    query = shown.copy()
    for name in (OLDER, NEWER, "p", "o", "all", "e"):
        query.pop(name, None)
    for name in [name for name, values in query.lists() if not any(values)]:
        del query[name]
    return query.urlencode()


def estimate(rows: QuerySet[Any], *, at_least: int) -> int:
    """Returns how many rows the planner expects, from its statistics."""
    sql, parameters = rows.order_by().values("pk").query.sql_with_params()
    with connections[rows.db].cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", parameters)
        (plan,) = cursor.fetchone()
    plan = json.loads(plan) if isinstance(plan, str) else plan
    return max(int(plan[0]["Plan"]["Plan Rows"]), at_least)


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
    """A filter with input fields. An invalid value is reported, and the list is empty: all rows would look like the
    answer."""

    template = "office/filter_inputs.html"
    inputs: ClassVar[Sequence[FilterInput]] = ()
    is_on_top: ClassVar[bool] = False  # shown above the list instead of beside it

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.invalid: list[str] = []
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
                "value": _shown_value(each, self.value(each.parameter)),
            }
            for each in self.inputs
        ]
        yield {"fields": fields, "kept": kept, "selected": any(field["value"] for field in fields)}

    def report_invalid(self, request: HttpRequest, each: FilterInput) -> None:
        """The list then says so and is empty (`active_filters.find_unknown`)."""
        self.invalid.append(each.parameter)


class CreatedFilter(InputsFilter):
    title = gettext_lazy("time")
    is_on_top = True
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
    """From the first time on and before the second; in the reader's zone where the input has no offset."""
    for each, way in zip(inputs.inputs, ("gte", "lt"), strict=True):
        if not inputs.value(each.parameter):
            continue
        moment = parse_moment(inputs.value(each.parameter), is_end=way == "lt")
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


def parse_moment(text: str, *, is_end: bool = False) -> dt.datetime | None:
    """Reads a time, or a day, in the reader's zone unless it has an offset. A day that ends a range is included."""
    try:
        moment = parse_datetime(text)
        day = parse_date(text) if len(text) == len("2026-11-28") else None
    except ValueError:
        return None
    if day is not None:
        try:
            moment = dt.datetime.combine(day + dt.timedelta(days=is_end), dt.time())
        except OverflowError:
            return None
    if moment is None:
        return None
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _shown_value(each: FilterInput, value: str) -> str:
    """An input of a day or time shows nothing for a value with an offset."""
    if each.kind not in ("date", "datetime-local"):
        return value
    moment = parse_moment(value)
    if moment is None:
        return ""
    return f"{timezone.localtime(moment):%Y-%m-%dT%H:%M}"
