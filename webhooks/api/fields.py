"""Fields of the API for addresses that we call."""

from typing import Any

from rest_framework import serializers

from common.api.fields import TextField
from webhooks import ssrf_guard


class WebhookUrlField(TextField):
    """A URL that passes the SSRF guard without a DNS lookup."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=ssrf_guard.MAX_URL_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            ssrf_guard.parse_url(text)
        except ssrf_guard.AddressRefused as error:
            raise serializers.ValidationError(str(error.reason)) from error
        return text
