"""The theme's form widgets: with common/admin.py the only place that names the theme."""

from typing import TypeVar

from django import forms
from unfold.forms import AuthenticationForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminEmailInputWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

__all__ = ["AuthenticationForm", "dressed"]

F = TypeVar("F", bound=forms.BaseForm)


def dressed(form: F) -> F:
    """The same form with the widgets of the theme. A field that asks for several lines has a Textarea."""
    for field in form.fields.values():
        widget = _widget_for(field)
        if widget is not None:
            widget.is_required = field.required
            widget.attrs.update(field.widget_attrs(widget))
            field.widget = widget
    return form


def _widget_for(field: forms.Field) -> forms.Widget | None:
    match field:
        case forms.MultipleChoiceField():
            return UnfoldAdminCheckboxSelectMultipleWidget(choices=field.choices)
        case forms.ChoiceField():
            return UnfoldAdminSelectWidget(choices=list(field.choices))  # type: ignore[arg-type]
        case forms.BooleanField():
            return UnfoldBooleanSwitchWidget()
        case forms.DateField():
            return UnfoldAdminSingleDateWidget(attrs={"type": "date"})
        case forms.IntegerField():
            return UnfoldAdminIntegerFieldWidget()
        case forms.EmailField():
            return UnfoldAdminEmailInputWidget()
        case forms.CharField() if isinstance(field.widget, forms.Textarea):
            return UnfoldAdminTextareaWidget(attrs={"rows": 3})
        case forms.CharField():
            return UnfoldAdminTextInputWidget()
    return None
