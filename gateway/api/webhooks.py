"""Webhooks from channels: no API key, the channel's signature over the raw bytes instead."""

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.envelope import success
from common.api.http import respond
from gateway.services.channel_webhooks import receive_webhook


class ChannelWebhookView(APIView):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(exclude=True)
    def post(self, request: Request, channel: str, token: str = "") -> HttpResponse:
        received = receive_webhook(
            channel=channel, token=token, body=request._request.body, headers=request.headers
        )
        acknowledgement = received.acknowledgement
        if acknowledgement is None:
            return respond(success({"effect": received.effect}, message=_("Received")))
        return HttpResponse(
            acknowledgement.body, content_type=acknowledgement.content_type, status=acknowledgement.status
        )
