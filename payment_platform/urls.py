"""All URLs of the platform. The API's routes are in the `urls.py` of each app."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from backoffice.navigation import show_more
from backoffice.search.views import find, suggest_merchants
from backoffice.work_queue.page import show_queue
from monitoring import probes
from payment_platform import home
from payment_platform.api_docs import guides

handler400 = "common.api.exceptions.bad_request"
handler403 = "common.api.exceptions.permission_denied"
handler404 = "common.api.exceptions.page_not_found"
handler500 = "common.api.exceptions.server_error"

urlpatterns = [
    path("", home.page, name="home"),
    path("demo-payment", home.demo_payment, name="demo_payment"),
    path("api/v1/", include("gateway.urls")),  # first, because most requests are payments
    path("api/v1/", include("merchants.urls")),
    path("api/v1/", include("channel_accounts.urls")),
    path("api/v1/", include("events.urls")),
    path("api/v1/", include("webhooks.urls")),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include("ledger.urls")),
    path("api/v1/", include("fees.urls")),
    path("api/v1/", include("payouts.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/docs/events/<str:event_type>.schema.json", guides.event_schema, name="event_schema"),
    path("api/docs/<slug:name>", guides.guide, name="guide"),
    path("checkout/", include("checkout.urls")),
    path("admin/", include("staff.urls")),
    path("admin/queue/", admin.site.admin_view(show_queue), name="work_queue"),
    path("admin/find/", admin.site.admin_view(find), name="admin_find"),
    path("admin/find/merchants/", admin.site.admin_view(suggest_merchants), name="admin_find_merchants"),
    path("admin/more/", admin.site.admin_view(show_more), name="admin_more"),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("metrics", probes.metrics, name="metrics"),
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
]
