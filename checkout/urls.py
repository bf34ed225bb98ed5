from django.urls import include, path, re_path

from checkout import api

# As gateway/checkout_token.py makes them. Links of the simulator's page have no point.
_LINK = r"(?P<token>[\w-]{22}\.[\w-]{43})"

urlpatterns = [
    re_path(rf"^{_LINK}$", api.show_payment, name="payment_page"),
    re_path(rf"^{_LINK}/status$", api.show_status, name="payment_status"),
    re_path(rf"^{_LINK}/code\.png$", api.show_code_picture, name="payment_code"),
    path("", include("checkout.simulator.urls")),
]
