"""From a request to checked values, and from an answer to a response. All that a view does itself."""

from typing import Any

from django.http import HttpResponse
from rest_framework.serializers import BaseSerializer

from common.api.envelope import Answer


def validated(serializer: type[BaseSerializer[Any]], data: Any) -> dict[str, Any]:
    """Raises DRF's `ValidationError` naming each wrong field."""
    checked = serializer(data=data)
    checked.is_valid(raise_exception=True)
    values: dict[str, Any] = checked.validated_data
    return values


def respond(answer: Answer) -> HttpResponse:
    return HttpResponse(
        answer.body, status=answer.status, headers=answer.headers, content_type="application/json"
    )
