"""The forms of reports: which one, of which days, narrowed to what; and how a schedule repeats it."""

import datetime as dt
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import ReasonForm
from backoffice.reports import files
from backoffice.reports.destinations import list_usable_names
from backoffice.reports.kinds import FILTERS, KINDS
from backoffice.reports.models import FileFormat
from backoffice.reports.periods import ONE_DAY, Frequency
from channels.registry import list_channel_names
from common.clock import database_now
from common.time_zones import find_zone
from merchants.models import Environment, Merchant

ANY: Final = ("", "—")
MAX_DAYS: Final = 93  # of a report that a page shows


def _read_kinds() -> list[tuple[str, Any]]:
    return [(kind.name, kind.label) for kind in KINDS.values()]


def _read_day_kinds() -> list[tuple[str, Any]]:
    return [(kind.name, kind.label) for kind in KINDS.values() if kind.has_days_in_utc]


class FiltersForm(forms.Form):
    """Part of the forms below."""

    environment = forms.ChoiceField(
        label=gettext_lazy("Environment"), choices=[ANY, *Environment.choices], required=False
    )
    merchant = forms.EmailField(label=gettext_lazy("Email of the merchant"), required=False)
    channel = forms.ChoiceField(
        label=gettext_lazy("Channel"),
        choices=lambda: [ANY, *((name, name) for name in list_channel_names())],
        required=False,
    )
    currency = forms.CharField(label=gettext_lazy("Currency"), max_length=3, required=False)

    def clean_merchant(self) -> str:
        email: str = self.cleaned_data["merchant"].lower()
        if email and not Merchant.objects.filter(email=email).exists():
            raise forms.ValidationError(_("There is no merchant “%(term)s”.") % {"term": email})
        return email

    def clean_currency(self) -> str:
        currency: str = self.cleaned_data["currency"]
        return currency.upper()

    def list_filters(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in FILTERS if self.cleaned_data.get(name)}


class ShownReportForm(FiltersForm):
    """A report that is read at once: of a few months, and balances of one merchant."""

    kind = forms.ChoiceField(label=gettext_lazy("Report"), choices=_read_day_kinds)
    first_day = forms.DateField(label=gettext_lazy("First day"))
    last_day = forms.DateField(
        label=gettext_lazy("Last day"), help_text=gettext_lazy("Days are days in UTC, as in the ledger.")
    )
    field_order: Any = ("kind", "first_day", "last_day")

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        first, last = given.get("first_day"), given.get("last_day")
        if first and last and not dt.timedelta() <= last - first < dt.timedelta(days=MAX_DAYS):
            text = _("Give a day from the first day on, and at most %(days)d days.") % {"days": MAX_DAYS}
            self.add_error("last_day", text)
        elif last and last > database_now().date() + ONE_DAY:
            self.add_error("last_day", _("Give a day up to tomorrow."))
        if given.get("kind") == "balances" and not given.get("merchant") and "merchant" not in self.errors:
            self.add_error(
                "merchant", _("Give a merchant. The balances of all merchants are a scheduled report.")
            )
        return given


class ReportDownloadForm(ReasonForm, ShownReportForm):
    field_order = ("kind", "first_day", "last_day", *FILTERS, "reason")


class ScheduleForm(ReasonForm, FiltersForm):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        help_text=gettext_lazy("Lower-case letters, digits and hyphens. Folder and files have this name."),
        max_length=40,
    )
    kind = forms.ChoiceField(label=gettext_lazy("Report"), choices=_read_kinds)
    frequency = forms.ChoiceField(label=gettext_lazy("Frequency"), choices=Frequency.choices)
    run_time = forms.TimeField(
        label=gettext_lazy("Time of day"),
        help_text=gettext_lazy("Local time on the day after the period, such as 06:30."),
    )
    time_zone = forms.CharField(
        label=gettext_lazy("Time zone"),
        help_text=gettext_lazy(
            "Such as Asia/Shanghai. Daily totals and balances have days in UTC, whatever the time zone."
        ),
        max_length=50,
        initial="UTC",
    )
    file_format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=lambda: [each for each in FileFormat.choices if files.is_available(each[0])],
    )
    destination = forms.ChoiceField(
        label=gettext_lazy("Destination"),
        help_text=gettext_lazy("Operators name the destinations in the setting REPORT_DESTINATIONS."),
        choices=lambda: [(name, name) for name in list_usable_names()],
    )
    first_day = forms.DateField(
        label=gettext_lazy("First day"),
        help_text=gettext_lazy("Earlier periods are sent too, from this day on. Empty: from today on."),
        required=False,
    )
    field_order = (
        "name",
        "kind",
        *FILTERS,
        "frequency",
        "run_time",
        "time_zone",
        "file_format",
        "destination",
        "first_day",
        "reason",
    )

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"]
        if find_zone(name) is None:
            raise forms.ValidationError(_("There is no time zone “%(name)s”.") % {"name": name})
        return name
