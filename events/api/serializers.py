"""Queries and responses of the events API."""

from typing import Any

from rest_framework import serializers

from common.api.fields import CreatedRangeQuery
from events import catalogue
from merchants.models import Environment

EVENT_TYPES = [(name, name) for name in catalogue.ALL_TYPES]


class EventQuery(CreatedRangeQuery):
    type = serializers.ChoiceField(choices=EVENT_TYPES, required=False)
    subject = serializers.CharField(max_length=64, required=False)


class EventOutput(serializers.Serializer[Any]):
    specversion = serializers.CharField()
    id = serializers.UUIDField()
    source = serializers.CharField()  # type: ignore[assignment]
    type = serializers.ChoiceField(choices=EVENT_TYPES)
    subject = serializers.CharField()
    time = serializers.DateTimeField()
    datacontenttype = serializers.CharField()
    environment = serializers.ChoiceField(choices=Environment.choices)
    merchantid = serializers.UUIDField()
    partitionkey = serializers.CharField()
    data = serializers.DictField()  # type: ignore[assignment]
