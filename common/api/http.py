"""Checks a request's values and makes a response: the only work that a view does itself."""

import functools
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer

from common.api.envelope import Answer
from common.errors import ValidationFailed


def validated(serializer: type[BaseSerializer[Any]], data: Any) -> dict[str, Any]:
    """Raises DRF's `ValidationError` naming each wrong field."""
    values: dict[str, Any]
    try:
        values = _get_shared(serializer).run_validation(data)  # type: ignore[arg-type]  # classes are hashable
    except ValidationError:
        # Again with a new instance: DRF keeps the error texts of an instance in the language of its first error.
        checked = serializer(data=data)
        checked.is_valid(raise_exception=True)
        values = checked.validated_data
    return values


@functools.cache
def _get_shared(serializer: type[BaseSerializer[Any]]) -> BaseSerializer[Any]:
    """One instance for all valid requests: making the fields costs more than checking them. Serializers keep nothing
    of a request."""
    return serializer()


def validated_query(serializer: type[BaseSerializer[Any]], request: Request) -> dict[str, Any]:
    """The checked query of a list. A parameter that is given twice is refused: either value could be meant."""
    repeated = [name for name, given in request.query_params.lists() if len(given) > 1]
    if repeated:
        raise ValidationFailed({name: [_("Give this parameter once.")] for name in repeated})
    return validated(serializer, request.query_params.dict())


def respond(answer: Answer) -> HttpResponse:
    return HttpResponse(
        answer.body, status=answer.status, headers=answer.headers, content_type="application/json"
    )
