from django.urls import path

from merchants import api

urlpatterns = [
    path("merchant", api.MerchantView.as_view(), name="merchant"),
    path("merchant/api-keys", api.ApiKeysView.as_view(), name="api-keys"),
    path("merchant/api-keys/<uuid:key_id>/rotate", api.RotateApiKeyView.as_view(), name="api-key-rotate"),
    path("merchant/api-keys/<uuid:key_id>/revoke", api.RevokeApiKeyView.as_view(), name="api-key-revoke"),
]
