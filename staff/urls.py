"""URLs outside of the admin's namespace: they must be reachable without a second factor."""

from django.urls import path, reverse_lazy

from staff import views
from staff.invitation import InvitationView

urlpatterns = [
    path("second-factor/", views.page, name="second_factor"),
    path("second-factor/begin/", views.begin, name="second_factor_begin"),
    path("second-factor/confirm/", views.confirm, name="second_factor_confirm"),
    path("second-factor/codes/", views.renew_codes, name="second_factor_codes"),
    path(
        "invitation/<uidb64>/<token>/",
        InvitationView.as_view(success_url=reverse_lazy("admin:login")),
        name="staff_invitation",
    ),
]
