"""The page of a merchant's webhook endpoint, with the test webhook."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.actions.admin import ActionsAdmin
from backoffice.actions.declaration import AdminAction
from backoffice.services import merchant_operations
from staff.roles import Permission
from webhooks.admin import WebhookEndpointAdmin
from webhooks.models import EndpointKind, EndpointStatus, WebhookEndpoint


def _send_test(actor: User, endpoint: WebhookEndpoint, data: dict[str, Any]) -> HttpResponse:
    delivery = merchant_operations.send_test_webhook(
        endpoint_id=endpoint.pk, actor=actor.get_username(), reason=data["reason"]
    )
    return redirect("admin:webhooks_webhookdelivery_change", delivery.pk)


def _find_test_obstacle(endpoint: WebhookEndpoint) -> str:
    if endpoint.kind == EndpointKind.CALLBACK:
        return _("Callback addresses of payments cannot be tested: this endpoint has no address of its own.")
    if endpoint.status != EndpointStatus.ENABLED:
        return _("The status of this endpoint is: %(status)s.") % {"status": endpoint.get_status_display()}
    return ""


admin.site.unregister(WebhookEndpoint)


@admin.register(WebhookEndpoint)
class EndpointPageAdmin(ActionsAdmin, WebhookEndpointAdmin):  # type: ignore[misc]  # unfold's mixins
    staff_actions = (
        AdminAction(
            "test",
            gettext_lazy("Send test webhook"),
            gettext_lazy("Sends a test event. The page of its delivery shows the result."),
            Permission.TEST_ENDPOINT,
            _send_test,
            find_obstacle=_find_test_obstacle,
        ),
    )
