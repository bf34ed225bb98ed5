"""The forms of the operations on sagas: the reason, and a typed confirmation for what cannot be undone."""

from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import ReasonForm
from backoffice.services import audited_saga_operations


class ReasonCode(models.TextChoices):
    CHANNEL_SAID = "channel_said", gettext_lazy("The channel confirmed it")
    CUSTOMER_ASKED = "customer_asked", gettext_lazy("The customer asked for it")
    MERCHANT_ASKED = "merchant_asked", gettext_lazy("The merchant asked for it")
    INCIDENT = "incident", gettext_lazy("Part of an incident")
    FRAUD = "fraud", gettext_lazy("Suspected fraud")
    OTHER = "other", gettext_lazy("Other, see the note")


class SagaForm(ReasonForm):
    field_order = ("resolution", "result", "reason_code", "reason", "ticket", "confirm")
    reason_code = forms.ChoiceField(
        label=gettext_lazy("Reason"), choices=[("", gettext_lazy("Choose a reason")), *ReasonCode.choices]
    )
    reason = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=gettext_lazy("Recorded in the audit log with your name."),
    )
    ticket = forms.CharField(
        label=gettext_lazy("Ticket"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("A link or a number, if there is one."),
    )


class SkipStepForm(SagaForm):
    result = forms.CharField(label=gettext_lazy("Result of the step (JSON)"), widget=forms.Textarea)

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        for saga in self.rows[:1]:
            self.fields["result"].help_text = audited_saga_operations.result_help(saga_id=saga.id)


class ConfirmedForm(SagaForm):
    """Requires the business id to be typed, or the number of sagas of a selection."""

    confirm = forms.CharField(label=gettext_lazy("Type to confirm"), max_length=255)

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self._phrase = self.rows[0].business_id if len(self.rows) == 1 else str(len(self.rows))
        self.fields["confirm"].help_text = _("This cannot be undone. Type %(phrase)s to confirm.") % {
            "phrase": self._phrase
        }
        self.fields["confirm"].widget.attrs |= {"data-must-be": self._phrase, "autocomplete": "off"}

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed.strip() != self._phrase:
            raise forms.ValidationError(_("Type %(phrase)s.") % {"phrase": self._phrase})
        return typed


class MarkResolvedForm(ConfirmedForm):
    """Offers the resolutions of a single saga. A bulk resolve always uses the resolution `watch`."""

    resolution = forms.ChoiceField(
        label=gettext_lazy("Resolution"),
        help_text=gettext_lazy("Takes effect at once. The merchant is notified."),
    )

    def __init__(self, data: Any = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        resolutions = self.rows[0].resolutions if len(self.rows) == 1 else ()
        choices = self.fields["resolution"]
        if resolutions and isinstance(choices, forms.ChoiceField):
            known = [(each.name, each.meaning) for each in resolutions]
            choices.choices = [("", gettext_lazy("Choose a resolution")), *known]
        else:
            del self.fields["resolution"]
