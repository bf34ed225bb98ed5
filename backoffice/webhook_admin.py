"""Merchants' webhook endpoints with what staff may do about them."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.operation_pages import OperableAdmin, StaffOperation
from backoffice.services import merchant_operations
from common.errors import ApiError, OperationRefused
from staff.roles import Permission
from webhooks.admin import WebhookEndpointAdmin
from webhooks.models import EndpointKind, EndpointStatus, WebhookEndpoint


def _test(actor: User, endpoint: WebhookEndpoint, given: dict[str, Any]) -> HttpResponse:
    try:
        delivery = merchant_operations.send_test_webhook(
            endpoint_id=endpoint.pk, actor=actor.get_username(), reason=given["reason"]
        )
    except ApiError as refused:
        raise OperationRefused(str(refused.text)) from refused
    return redirect("admin:webhooks_webhookdelivery_change", delivery.pk)


def _may_be_tested(endpoint: WebhookEndpoint) -> str:
    if endpoint.kind == EndpointKind.CALLBACK:
        return _("It is told of payments that name an address, and has none of its own.")
    if endpoint.status != EndpointStatus.ENABLED:
        return _("This endpoint is: %(status)s.") % {"status": endpoint.get_status_display()}
    return ""


admin.site.unregister(WebhookEndpoint)


@admin.register(WebhookEndpoint)
class TestableEndpointAdmin(OperableAdmin, WebhookEndpointAdmin):  # type: ignore[misc]  # unfold's mixins
    operations = (
        StaffOperation(
            "test",
            gettext_lazy("Test call"),
            gettext_lazy(
                "Sends the event that the merchant can ask for too. Its delivery tells what became of it."
            ),
            Permission.TEST_ENDPOINT,
            _test,
            why_not=_may_be_tested,
        ),
    )
