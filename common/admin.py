"""The base classes and columns of the admin. With admin_forms.py, the only module that names the theme.

No page may count or sort a big table: counts are estimates, lists have the order of an index and are paged by its keys
(admin_lists.py), and a search is an exact match that an index answers.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib.admin import AdminSite, ShowFacets, SimpleListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet, TextChoices
from django.http import HttpRequest, QueryDict
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from common import list_columns
from common.admin_labels import LABELS, label_of, set_field_labels
from common.admin_lists import KeysetChangeList, list_query
from common.money import EXPONENTS
from common.own_writes import reads_primary
from common.postgresql.replica import PRIMARY, REPLICA, read_near
from common.redaction import PAGES, redact
from common.secret_columns import without_secret_columns

Column = Callable[[Any, Any], Any]  # a method of an admin: itself, and the row
SCOPE = "environment"  # the parameter of the filter that the switch of the header sets
EVERY_SCOPE = "all"  # its value for rows of both environments
SCOPE_COLUMNS = ("mode", "environment")


class ReadOnlyAdmin(ModelAdmin):
    """A read-only page: money changes only through services."""

    change_list_template = "office/list.html"
    # Links to frequent filters: label and query. People add their own (`staff/preferences.py`).
    saved_views: ClassVar[Sequence[tuple[Promise, str]]] = ()
    list_filter_sheet = True  # filters open beside the list, which keeps its width
    show_full_result_count = False
    empty_value_display = "—"
    show_facets = ShowFacets.NEVER
    sortable_by = ()
    list_per_page = 50
    ordering = ("-pk",)

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        set_field_labels(model)
        super().__init__(model, admin_site)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if getattr(request, "list_database", PRIMARY) == REPLICA:
            rows = rows.using(REPLICA)
        if not isinstance(self.list_select_related, bool):
            # Django joins these only to rows that join nothing else, such as a table without its secret columns.
            rows = rows.select_related(*self.list_select_related)
        return without_secret_columns(rows)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return KeysetChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """The columns that the person has chosen, or else the list's own."""
        preferences = getattr(request, "staff_preferences", None)
        chosen = preferences.columns.get(self.list_name) if preferences is not None else None
        return list_columns.build_columns(self, chosen or self._default_columns(request))

    def _default_columns(self, request: HttpRequest) -> Sequence[Any]:
        """Without the environment where all rows have the same one."""
        if request.GET.get(SCOPE, EVERY_SCOPE) == EVERY_SCOPE:
            return self.list_display
        return [each for each in self.list_display if each not in SCOPE_COLUMNS]

    @property
    def list_name(self) -> str:
        """Names the list in what people have saved: `gateway.payment`."""
        return self.opts.label_lower

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        here = request.META.get("QUERY_STRING", "")
        request.GET = self.scoped_query(request)  # type: ignore[assignment]
        preferences = getattr(request, "staff_preferences", None)
        views = [
            {"label": label, "url": f"?{query}", "here": here == query} for label, query in self.saved_views
        ]
        context: dict[str, Any] = {
            "saved_views": views,
            "list_name": self.list_name,
            "current_query": self._query_to_save(request),
            "personal_views": preferences.list_views(self.list_name) if preferences is not None else (),
            "column_choices": list_columns.list_choices(self, self.get_list_display(request)),
            **(extra_context or {}),
        }

        def show(database: str) -> Any:
            request.list_database = database  # type: ignore[attr-defined]
            return super(ReadOnlyAdmin, self).changelist_view(request, context)

        return show(PRIMARY) if reads_primary(request) else read_near(show)

    def scoped_query(self, request: HttpRequest) -> QueryDict:
        """The query of the list, with the environment that the person has chosen where it names none."""
        preferences = getattr(request, "staff_preferences", None)
        has_scope = any(
            getattr(each, "parameter_name", "") == SCOPE for each in self.get_list_filter(request)
        )
        if preferences is None or not has_scope or SCOPE in request.GET:
            return request.GET
        query: QueryDict = request.GET.copy()
        query[SCOPE] = preferences.environment
        return query

    def read_environment(self, row: Any) -> str:
        """Returns an empty string for a row that belongs to none. The filter of the list says where a row has it."""
        scopes = (each for each in self.list_filter if getattr(each, "parameter_name", "") == SCOPE)
        scope: Any = next(scopes, None)
        return scope.read_environment(row) if scope is not None else ""

    def _query_to_save(self, request: HttpRequest) -> str:
        """A view follows the switch, unless it was saved with another environment."""
        query: QueryDict = request.GET.copy()
        preferences = getattr(request, "staff_preferences", None)
        if preferences is not None and query.get(SCOPE) == preferences.environment:
            del query[SCOPE]
        return list_query(query)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """If all `search_fields` are written as `=field`, looks up each one exactly, by its own index.

        Django's own `=` ignores case and joins the fields by OR: no index can serve that.
        """
        fields = self.get_search_fields(request)
        term = search_term.strip()
        if not term or not all(field.startswith("=") for field in fields):
            return super().get_search_results(request, queryset, search_term)
        found = [
            self.model._base_manager.filter(**{path: term}).order_by().values("pk")
            for path in (field.removeprefix("=") for field in fields)
            if _can_hold(self.model, path, term)
        ]
        if not found:
            return queryset.none(), False
        return queryset.filter(pk__in=found[0].union(*found[1:])), False


class ReadOnlyInline(TabularInline):
    extra = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return without_secret_columns(super().get_queryset(request))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class FlatInline(ReadOnlyInline):
    """Rows without a title and without a link to a page of their own: all their fields are in the table."""

    hide_title = True
    show_change_link = False


def money_text(amount_minor: int, currency: str) -> str:
    """Formats an amount in minor units in the reader's language: `1,234.50 USD`, `1,234 JPY`."""
    exponent = EXPONENTS[currency]
    major = Decimal(amount_minor).scaleb(-exponent)
    return f"{number_format(major, decimal_pos=exponent, use_l10n=True, force_grouping=True)} {currency}"


def money_column(field: str, description: Promise) -> Column:
    """A column with an amount in minor units, formatted with the currency of its row."""

    def column(_admin: Any, row: Any) -> str:
        return money_text(getattr(row, field), row.currency)

    return _described(column, description)


def badge_column(field: str, description: Promise, colours: Mapping[str, str]) -> Column:
    """A column with a choice as a coloured label. Colours are success, info, warning and danger."""

    def column(_admin: Any, row: Any) -> tuple[str, str]:
        return getattr(row, field), getattr(row, f"get_{field}_display")()

    return _described(column, description, label=dict(colours))


def label_column(field: str, description: Promise, codes: type[TextChoices]) -> Column:
    """A column with the label of a code, for a field without choices."""

    def column(_admin: Any, row: Any) -> str | Promise:
        return label_of(codes, getattr(row, field))

    return _described(column, description)


def redacted_json_column(field: str) -> Column:
    """A JSON field as indented text, redacted like every page (`common.redaction.PAGES`)."""

    def column(_admin: Any, row: Any) -> str | SafeString:
        value = getattr(row, field)
        if value is None:
            return "-"
        text = json.dumps(redact(value, PAGES), ensure_ascii=False, indent=2)
        return format_html('<pre class="office-pre" tabindex="0">{}</pre>', text)

    return _described(column, LABELS[field])


def flag_column(field: str, description: Promise) -> Column:
    """A column with a label where the field is true. Django's red cross for false would look like an error."""

    def column(_admin: Any, row: Any) -> tuple[str, Promise] | None:
        return ("flagged", _("yes")) if getattr(row, field) else None

    return _described(column, description, label={"flagged": "danger"})


def known_values_filter(
    field: str, title: Promise, values: Callable[[], Iterable[str]]
) -> type[SimpleListFilter]:
    """A filter with the values that the code knows. Django's own filter reads them from the whole table."""

    def lookups(_self: Any, _request: HttpRequest, _admin: Any) -> list[tuple[str, str]]:
        return [(value, value) for value in values()]

    def queryset(self: Any, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.filter(**{field: self.value()}) if self.value() else rows

    contents = {"title": title, "parameter_name": field, "lookups": lookups, "queryset": queryset}
    return type(f"{field.title()}Filter", (SimpleListFilter,), contents)


def choice_filter(
    parameter: str,
    title: Promise,
    choices: Sequence[tuple[str, Promise]],
    narrow: Callable[[QuerySet[Any], str], QuerySet[Any]],
) -> type[SimpleListFilter]:
    """A filter with a few named conditions."""

    def lookups(_self: Any, _request: HttpRequest, _admin: Any) -> Sequence[tuple[str, Promise]]:
        return choices

    def queryset(self: Any, _request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        return narrow(rows, self.value()) if self.value() in dict(choices) else rows

    contents = {"title": title, "parameter_name": parameter, "lookups": lookups, "queryset": queryset}
    return type(f"{parameter.title()}Filter", (SimpleListFilter,), contents)


def _described(column: Column, description: Promise, **options: Any) -> Column:
    described: Column = display(description=description, **options)(column)  # type: ignore[arg-type]
    return described


def _can_hold(model: type[Model], path: str, term: str) -> bool:
    """Tells whether the field can hold the term: a payment number is no UUID."""
    field = get_fields_from_path(model, path)[-1]
    try:
        field.to_python(term)
    except ValidationError:
        return False
    return True
