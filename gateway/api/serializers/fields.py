"""Fields that check more of a request about payments than their type."""

from typing import Any
from urllib.parse import urlsplit

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from common.api.fields import MetadataField, TextField


class WebAddressField(TextField):
    """An absolute http or https address, without user name or password, for a customer's browser."""

    default_error_messages = {"address": _("Give an absolute http:// or https:// address.")}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=2000, allow_blank=True, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            parts = urlsplit(text)
            port_is_fine = parts.port is None or parts.port > 0
        except ValueError:
            self.fail("address")
        plain = parts.username is None and parts.password is None and text.isprintable() and " " not in text
        if text and not (parts.scheme in ("http", "https") and parts.hostname and plain and port_is_fine):
            self.fail("address")
        return text


class PaymentMethodOptionsField(MetadataField):
    """The options of a payment method, by name."""

    default_error_messages = {
        "too_many": _("At most 20 options."),
        "name_too_long": _("Names of options hold at most 40 characters."),
    }


class ClientAddressField(serializers.IPAddressField):
    """An IPv4 or IPv6 address. Numbers are not turned into text."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        text: str = super().to_internal_value(data)
        return text


class CountryField(TextField):
    """The two letters of a country in ISO 3166-1."""

    def __init__(self, **kwargs: Any) -> None:
        message = _("Give the two capital letters of a country, such as CN.")
        validators = [RegexValidator(r"\A[A-Z]{2}\Z", message=message)]
        super().__init__(max_length=2, validators=validators, **kwargs)


class LocaleField(TextField):
    """A language, as in BCP 47: such as zh-CN."""

    def __init__(self, **kwargs: Any) -> None:
        message = _("Give a language such as zh-CN or en.")
        validators = [RegexValidator(r"\A[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}\Z", message=message)]
        super().__init__(max_length=35, validators=validators, **kwargs)
