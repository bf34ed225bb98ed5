"""The forms of fee plans, and the lines in which staff write and read rates:

USD percent=2.9 fixed=0.30
USD method=card channel=stripe percent=1.5 fixed=0.20 min=0.10 max=5
CNY percent=0.6,100000:0.5,1000000:0.4
"""

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.declaration import ReasonForm
from common.money import EXPONENTS, MAX_AMOUNT_MINOR, to_major_text
from fees.formula import MILLIONTHS_PER_WHOLE, Rate, RefundRule, Tier, compute_fee

_MILLIONTHS_PER_PERCENT = MILLIONTHS_PER_WHOLE // 100
_NAMES = ("channel", "method", "percent", "fixed", "min", "max")
EXAMPLE_MAJOR = (1, 10, 100, 1000)


class NewVersionForm(ReasonForm):
    plan_name = forms.CharField(
        label=gettext_lazy("Fee plan"),
        help_text=gettext_lazy("An existing plan gets its next version."),
        max_length=80,
    )
    rates = forms.CharField(
        label=gettext_lazy("Rates"),
        help_text=gettext_lazy(
            "One a line, such as: USD method=card percent=2.9 fixed=0.30 min=0.05 max=5. channel, method, fixed, min"
            " and max may be left out. Tiers by monthly volume: percent=2.9,100000:2.5"
        ),
        widget=forms.Textarea,
        max_length=5000,
    )
    refund_rule = forms.ChoiceField(
        label=gettext_lazy("On refunds"), choices=RefundRule.choices, initial=RefundRule.KEEP
    )
    valid_from = forms.DateTimeField(
        label=gettext_lazy("Valid from"),
        help_text=gettext_lazy("Empty: from its approval on."),
        required=False,
    )

    def clean_rates(self) -> tuple[Rate, ...]:
        lines = [line for line in self.cleaned_data["rates"].splitlines() if line.strip()]
        return tuple(_parse_rate(line) for line in lines)


class AssignPlanForm(ReasonForm):
    merchant_email = forms.EmailField(label=gettext_lazy("Email of the merchant"), max_length=254)
    plan_name = forms.CharField(
        label=gettext_lazy("Fee plan"),
        help_text=gettext_lazy("Empty: its payments have no fee any more."),
        max_length=80,
        required=False,
    )
    valid_from = forms.DateTimeField(
        label=gettext_lazy("Valid from"),
        help_text=gettext_lazy("Empty: from its approval on."),
        required=False,
    )


def describe_rate(rate: Rate) -> str:
    """The line from which the rate would be read."""
    tiers = [
        f"{to_major_text(tier.from_minor, rate.currency)}:{percent}" if tier.from_minor else percent
        for tier in rate.tiers
        for percent in [f"{Decimal(tier.rate_millionths) / _MILLIONTHS_PER_PERCENT:f}"]
    ]
    amounts = {"fixed": rate.fixed_minor, "min": rate.minimum_minor, "max": rate.maximum_minor}
    parts = [
        rate.currency,
        *(
            f"{name}={value}"
            for name, value in (("channel", rate.channel), ("method", rate.payment_method))
            if value
        ),
        f"percent={','.join(tiers)}",
        *(f"{name}={to_major_text(minor, rate.currency)}" for name, minor in amounts.items() if minor),
    ]
    return " ".join(parts)


def describe_examples(rate: Rate) -> str:
    """The fees of payments of round amounts, in a month without earlier payments."""
    shown = []
    for major in EXAMPLE_MAJOR:
        amount_minor = major * 10 ** EXPONENTS[rate.currency]
        fee_minor = compute_fee(rate, amount_minor=amount_minor, volume_before_minor=0)
        shown.append(
            f"{to_major_text(amount_minor, rate.currency)} → {to_major_text(fee_minor, rate.currency)}"
        )
    return "; ".join(shown)


def _parse_rate(line: str) -> Rate:
    """Raises Django's `ValidationError`, with the line."""
    currency, *parts = line.split()
    currency = currency.upper()
    if currency not in EXPONENTS:
        raise forms.ValidationError(_("The currency %s is not known.") % currency)
    values: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if name not in _NAMES or not equals or not value or name in values:
            raise forms.ValidationError(
                _("%(part)s is not known in: %(line)s") % {"part": part, "line": line}
            )
        values[name] = value
    if "percent" not in values and "fixed" not in values:
        raise forms.ValidationError(_("Neither percent nor fixed in: %(line)s") % {"line": line})

    def read_amount(name: str) -> int:
        return _parse_number(values.get(name, "0"), 10 ** EXPONENTS[currency], line)

    return Rate(
        currency=currency,
        channel=values.get("channel", ""),
        payment_method=values.get("method", ""),
        fixed_minor=read_amount("fixed"),
        minimum_minor=read_amount("min"),
        maximum_minor=read_amount("max") if "max" in values else None,
        tiers=tuple(_parse_tiers(values.get("percent", "0"), currency, line)),
    )


def _parse_tiers(text: str, currency: str, line: str) -> list[Tier]:
    tiers = []
    for part in text.split(","):
        begin, colon, percent = part.rpartition(":")
        from_minor = _parse_number(begin, 10 ** EXPONENTS[currency], line) if colon else 0
        tiers.append(Tier(from_minor, _parse_number(percent, _MILLIONTHS_PER_PERCENT, line)))
    return tiers


def _parse_number(text: str, factor: int, line: str) -> int:
    """A decimal number times `factor`, which must be whole."""
    wrong: Any = forms.ValidationError(
        _("%(part)s is not a number that can be used in: %(line)s") % {"part": text, "line": line}
    )
    if not text.isascii() or not text.replace(".", "", 1).isdigit() or len(text) > 20:
        raise wrong
    try:
        number = Decimal(text) * factor
    except InvalidOperation as error:
        raise wrong from error
    if number != int(number) or number > MAX_AMOUNT_MINOR:
        raise wrong
    return int(number)
