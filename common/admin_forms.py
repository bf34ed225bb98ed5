"""Forms with the widgets of the theme. With common/admin.py, the only module that names the theme."""

from decimal import Decimal
from typing import TypeVar

from django import forms
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from common.money import EXPONENTS

__all__ = ["AuthenticationForm", "amount_field", "with_theme_widgets"]

F = TypeVar("F", bound=forms.BaseForm)


def with_theme_widgets(form: F) -> F:
    """Gives the form the widgets of the theme. A CharField with a Textarea keeps several lines."""
    for field in form.fields.values():
        widget = _widget_for(field)
        if widget is not None:
            widget.is_required = field.required
            widget.attrs.update({**field.widget_attrs(widget), **field.widget.attrs})
            field.widget = widget
    return form


def amount_field(currency: str, most_minor: int, *, help_text: str) -> forms.DecimalField:
    """A field for an amount in major units: the currency's own decimals, at most `most_minor`."""
    exponent = EXPONENTS[currency]
    return forms.DecimalField(
        label=_("Amount in %(currency)s") % {"currency": currency},
        min_value=Decimal(1).scaleb(-exponent),
        max_value=Decimal(most_minor).scaleb(-exponent),
        decimal_places=exponent,
        max_digits=20,
        help_text=help_text,
    )


def _widget_for(field: forms.Field) -> forms.Widget | None:
    if isinstance(field.widget, forms.HiddenInput):
        return None
    match field:
        case forms.MultipleChoiceField():
            return UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
        case forms.ChoiceField():
            return UnfoldAdminSelectWidget(choices=list(field.choices))  # type: ignore[arg-type]
        case forms.BooleanField():
            return UnfoldBooleanSwitchWidget()
        case forms.FileField():
            return UnfoldAdminFileFieldWidget()
        case forms.DateField():
            return UnfoldAdminSingleDateWidget(attrs={"type": "date"})
        case forms.DecimalField():
            return UnfoldAdminDecimalFieldWidget()
        case forms.IntegerField():
            return UnfoldAdminIntegerFieldWidget()
        case forms.EmailField():
            return UnfoldAdminEmailInputWidget()
        case forms.CharField() if isinstance(field.widget, forms.Textarea):
            field.widget.attrs["rows"] = 3
            return UnfoldAdminTextareaWidget()
        case forms.CharField():
            return UnfoldAdminTextInputWidget()
    return None
