"""Fields for what merchants give us to call."""

from typing import Any

from rest_framework import serializers

from common.api.fields import TextField
from webhooks import ssrf_guard


class CalledUrlField(TextField):
    """An address that we would call, as far as its form tells: no name server is asked."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=ssrf_guard.MAX_URL_LENGTH, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            ssrf_guard.parse_url(text)
        except ssrf_guard.AddressRefused as error:
            raise serializers.ValidationError(str(error.reason)) from error
        return text
