"""The API that lists events, for merchants that poll instead of receiving webhooks."""

import uuid
from typing import ClassVar

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond, validated_query
from common.api.pagination import filter_created_range, load_page, page_body
from common.api.schema import ErrorSerializer, enveloped, page_schema
from events import representation, selectors
from events.api import serializers
from merchants.principal import principal_of
from merchants.scopes import EVENTS_READ

EVENT = enveloped("EventAnswer", serializers.EventOutput())
EVENTS = enveloped("EventsAnswer", page_schema("EventPage", serializers.EventOutput))


class EventListView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": EVENTS_READ}

    @extend_schema(
        operation_id="events_list",
        parameters=[serializers.EventQuery],
        responses={200: EVENTS, "4XX": ErrorSerializer},
    )
    def get(self, request: Request) -> HttpResponse:
        """Lists the events of the last 30 days, newest first, with the bodies of their webhooks.

        An event becomes visible when its transaction commits. To poll, start a minute before the newest event that you
        have, and skip the ids that you have.
        """
        query = validated_query(serializers.EventQuery, request)
        found = selectors.events_of(principal_of(request))
        if "type" in query:
            found = found.filter(type=query["type"])
        if "subject" in query:
            found = found.filter(ordering_key=query["subject"])
        found = filter_created_range(found, query)
        page = load_page(found, cursor=query.get("cursor"), limit=query["limit"], key="event_id")
        return respond(success(page_body(page, representation.event_body), message=_("Success")))


class EventView(APIView):
    scopes: ClassVar[dict[str, str | None]] = {"GET": EVENTS_READ}

    @extend_schema(operation_id="events_retrieve", responses={200: EVENT, "4XX": ErrorSerializer})
    def get(self, request: Request, event_id: uuid.UUID) -> HttpResponse:
        """Returns one event."""
        event = selectors.event_of(principal_of(request), event_id)
        return respond(success(representation.event_body(event), message=_("Success")))
