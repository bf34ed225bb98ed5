"""What a person must say before an operation is done: why, and for what cannot be taken back, which one."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from common.admin_forms import dressed
from sagas.availability import Operation
from sagas.inspection import SagaView


class ReasonCode(models.TextChoices):
    CHANNEL_SAID = "channel_said", gettext_lazy("The channel confirmed it")
    CUSTOMER_ASKED = "customer_asked", gettext_lazy("The customer asked for it")
    MERCHANT_ASKED = "merchant_asked", gettext_lazy("The merchant asked for it")
    INCIDENT = "incident", gettext_lazy("Part of an incident")
    FRAUD = "fraud", gettext_lazy("Suspected fraud")
    OTHER = "other", gettext_lazy("Something else, see the note")


TYPED = frozenset({Operation.COMPENSATE, Operation.MARK_RESOLVED})


class OperationForm(forms.Form):
    """How a saga ends can be chosen on its own; of many at once nothing is decided."""

    resolution = forms.ChoiceField(
        label=gettext_lazy("What became of it"),
        required=False,
        help_text=gettext_lazy("Becomes true at once, and is told to the merchant."),
    )
    result = forms.CharField(label=gettext_lazy("Result of the step (JSON)"), widget=forms.Textarea)
    reason_code = forms.ChoiceField(label=gettext_lazy("Reason"), choices=ReasonCode)
    reason = forms.CharField(
        label=gettext_lazy("Note"),
        max_length=2000,
        widget=forms.Textarea,
        help_text=gettext_lazy("Kept with your name in the history."),
    )
    ticket = forms.CharField(
        label=gettext_lazy("Ticket"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("A link or a number, if there is one."),
    )
    confirm = forms.CharField(label=gettext_lazy("Type to confirm"), max_length=255)

    def __init__(self, operation: Operation, sagas: Sequence[SagaView], data: Any = None) -> None:
        super().__init__(data, auto_id=f"{operation.value}_%s")
        self._phrase = sagas[0].business_id if len(sagas) == 1 else str(len(sagas))
        resolutions = sagas[0].resolutions if len(sagas) == 1 and operation == Operation.MARK_RESOLVED else ()
        choices = self.fields["resolution"]
        if resolutions and isinstance(choices, forms.ChoiceField):
            choices.choices = [(each.name, each.meaning) for each in resolutions]
        else:
            del self.fields["resolution"]
        if operation != Operation.SKIP_STEP:
            del self.fields["result"]
        if operation in TYPED:
            self.fields["confirm"].help_text = _("Type %(phrase)s, because this cannot be taken back.") % {
                "phrase": self._phrase
            }
            self.fields["confirm"].widget.attrs |= {"data-must-be": self._phrase, "autocomplete": "off"}
        else:
            del self.fields["confirm"]
        dressed(self)

    def clean_confirm(self) -> str:
        typed: str = self.cleaned_data["confirm"]
        if typed.strip() != self._phrase:
            raise forms.ValidationError(_("Type %(phrase)s.") % {"phrase": self._phrase})
        return typed
