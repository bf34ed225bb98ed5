from django.urls import path

from webhooks.api import deliveries, endpoints

_ENDPOINT = "webhook-endpoints/<uuid:endpoint_id>"
_DELIVERY = "webhook-deliveries/<uuid:delivery_id>"

urlpatterns = [
    path("webhook-endpoints", endpoints.EndpointListView.as_view()),
    path("webhook-endpoints/callback/rotate-secret", endpoints.RotateCallbackSecretView.as_view()),
    path(_ENDPOINT, endpoints.EndpointView.as_view()),
    path(f"{_ENDPOINT}/rotate-secret", endpoints.RotateSecretView.as_view()),
    path(f"{_ENDPOINT}/test", endpoints.TestEndpointView.as_view()),
    path(f"{_ENDPOINT}/resend", endpoints.ResendView.as_view()),
    path("webhook-deliveries", deliveries.DeliveryListView.as_view()),
    path(_DELIVERY, deliveries.DeliveryView.as_view()),
    path(f"{_DELIVERY}/resend", deliveries.DeliveryResendView.as_view()),
]
