"""Strict serializer fields: they convert no type into another."""

import datetime as dt
import re
from typing import Any

from django.core.validators import ProhibitNullCharactersValidator
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from common.money import EXPONENTS, MAX_AMOUNT_MINOR


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that the contract does not name."""

    def to_internal_value(self, data: Any) -> Any:
        names = data if isinstance(data, dict) else ()
        unknown = {name: [_("This field is not known.")] for name in names if name not in self.fields}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            found: Any = error.detail  # a dict: a serializer's errors are by field
            raise serializers.ValidationError({**found, **unknown}) from error
        if unknown:
            raise serializers.ValidationError(unknown)
        return values

    @cached_property
    def _writable_fields(self) -> list[serializers.Field[Any, Any, Any, Any]]:
        """REST framework looks for them at each use. The fields of a class stay the same."""
        return [field for field in self.fields.values() if not field.read_only]

    def _read_only_defaults(self) -> dict[str, Any]:
        return {}  # a request has no read-only fields


class NoInput(StrictSerializer):
    """The body of a write whose path says everything: no fields."""


# Control characters act on terminals, and bidirectional overrides make a text look like another one.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_LINE_BREAKS = str.maketrans("", "", "\t\n\r")


class _SurrogatesRefused(ProhibitSurrogateCharactersValidator):
    """Django REST framework's validator, which looks at each character, only for text that can hold a surrogate."""

    def __call__(self, value: str) -> None:
        if not value.isascii():
            super().__call__(value)


class TextField(serializers.CharField):
    """Text as sent: numbers and booleans are not turned into text. One line, unless `multiline`."""

    default_error_messages = {
        "unprintable": _("Control characters and text direction overrides are not allowed."),
    }

    def __init__(self, *, multiline: bool = False, **kwargs: Any) -> None:
        self.multiline = multiline
        super().__init__(**kwargs)
        # A NUL is one of the unprintable characters.
        replaced = (ProhibitNullCharactersValidator, ProhibitSurrogateCharactersValidator)
        kept = [validator for validator in self.validators if not isinstance(validator, replaced)]
        self.validators = [*kept, _SurrogatesRefused()]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        if _UNPRINTABLE.search(text.translate(_LINE_BREAKS) if self.multiline else text):
            self.fail("unprintable")
        return text


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_AMOUNT_MINOR})
class AmountField(serializers.Field[int, Any, int, Any]):
    """An integer of minor units from 1 up. Floats, booleans and numbers in quotes are refused."""

    default_error_messages = {
        "type": _("The amount must be an integer of minor units."),
        "range": _("The amount must be between 1 and %(max)s."),
    }

    min_amount_minor = 1

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("type")
        if not self.min_amount_minor <= data <= MAX_AMOUNT_MINOR:
            raise serializers.ValidationError(self.error_messages["range"] % {"max": MAX_AMOUNT_MINOR})
        return data

    def to_representation(self, value: int) -> int:
        return value


class WholeNumberField(serializers.IntegerField):
    """An integer. Text and floats are refused."""

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        number: int = super().to_internal_value(data)
        return number


class StrictBooleanField(serializers.BooleanField):
    """true or false. Text and numbers are refused."""

    def to_internal_value(self, data: Any) -> bool:
        if type(data) is not bool:
            self.fail("invalid", input=data)
        return data


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_AMOUNT_MINOR})
class AmountOutput(serializers.IntegerField):
    """An amount in an answer: minor units. 64 bits, because 32 end at 21 million dollars."""


@extend_schema_field({"$ref": "#/components/schemas/Currency"})
class CurrencyOutput(serializers.CharField):
    """An ISO 4217 code in an answer."""


class InstantField(serializers.DateTimeField):
    """A time in ISO 8601 with its offset, because a time without one is ambiguous."""

    default_error_messages = {"offset": _("Give the offset from UTC, such as 2030-01-31T00:00:00Z.")}

    def enforce_timezone(self, value: dt.datetime) -> dt.datetime:
        if value.tzinfo is None:
            self.fail("offset")
        moment: dt.datetime = super().enforce_timezone(value)
        return moment


@extend_schema_field({"$ref": "#/components/schemas/Currency"})
class CurrencyField(TextField):
    """An ISO 4217 code whose minor unit we know."""

    default_error_messages = {"currency": _("This is not a currency we know.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=3, max_length=3, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        if not text.isascii() or text.upper() not in EXPONENTS:  # "uſd" in capitals is "USD"
            self.fail("currency")
        return text.upper()


class MetadataField(serializers.DictField):
    """Up to 20 names of up to 40 characters with text of up to 500: the merchant's own notes."""

    default_error_messages = {
        "too_many": _("Metadata holds at most 20 entries."),
        "name_too_long": _("Names in metadata hold at most 40 characters."),
        "unprintable": TextField.default_error_messages["unprintable"],
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=TextField(max_length=500, allow_blank=True, multiline=True), **kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        value: dict[str, str] = super().to_internal_value(data)
        if len(value) > 20:
            self.fail("too_many")
        if any(len(name) > 40 for name in value):
            self.fail("name_too_long")
        if any(map(_UNPRINTABLE.search, value)):
            self.fail("unprintable")
        return value


class PageQuery(StrictSerializer):
    """The query of every list: pages by cursor."""

    cursor = serializers.CharField(required=False, max_length=64)
    limit = serializers.IntegerField(required=False, min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)


class CreatedRangeQuery(PageQuery):
    """The query of a list that can be narrowed to when things were created: from, inclusive, and to, exclusive."""

    created_from = InstantField(required=False, help_text=_("From this time on, with its offset."))
    created_to = InstantField(required=False, help_text=_("Until before this time, with its offset."))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "created_from" in attrs and "created_to" in attrs and attrs["created_from"] > attrs["created_to"]:
            raise serializers.ValidationError(
                {"created_from": [_("This must not be later than created_to.")]}
            )
        return attrs
