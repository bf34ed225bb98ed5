"""URLs outside of the admin's namespace: they must be reachable without a second factor."""

from django.contrib import admin
from django.urls import path, reverse_lazy

from staff import (
    environment_switch,
    list_settings,
    passkey_views,
    profile,
    session_views,
    sso_views,
    step_up_views,
    views,
)
from staff.invitation import InvitationView

urlpatterns = [
    path("sessions/", admin.site.admin_view(session_views.show_sessions), name="staff_sessions"),
    path("sessions/end/", admin.site.admin_view(session_views.end_sessions), name="staff_sessions_end"),
    path(
        "sessions/of/<int:user_id>/",
        admin.site.admin_view(session_views.show_sessions),
        name="staff_sessions_of",
    ),
    path(
        "sessions/of/<int:user_id>/end/",
        admin.site.admin_view(session_views.end_sessions),
        name="staff_sessions_of_end",
    ),
    path(
        "password_change/", admin.site.admin_view(session_views.change_password), name="staff_password_change"
    ),
    path("profile/", admin.site.admin_view(profile.profile), name="staff_profile"),
    path(
        "environment/",
        admin.site.admin_view(environment_switch.switch_environment),
        name="staff_environment",
    ),
    path("lists/columns/", admin.site.admin_view(list_settings.save_columns), name="staff_list_columns"),
    path("lists/views/", admin.site.admin_view(list_settings.save_view), name="staff_list_views"),
    path(
        "lists/views/<uuid:view_id>/",
        admin.site.admin_view(list_settings.change_view),
        name="staff_list_view",
    ),
    path("second-factor/", views.page, name="second_factor"),
    path("second-factor/begin/", views.begin, name="second_factor_begin"),
    path("second-factor/confirm/", views.confirm, name="second_factor_confirm"),
    path("second-factor/codes/", views.renew_codes, name="second_factor_codes"),
    path("passkeys/add/", passkey_views.add, name="passkey_add"),
    path("passkeys/confirm/", passkey_views.confirm, name="passkey_confirm"),
    path("passkeys/<int:passkey_id>/rename/", passkey_views.rename, name="passkey_rename"),
    path("passkeys/<int:passkey_id>/remove/", passkey_views.remove, name="passkey_remove"),
    path("passkeys/sign-in/", passkey_views.sign_in, name="passkey_sign_in"),
    path("passkeys/sign-in/confirm/", passkey_views.confirm_sign_in, name="passkey_sign_in_confirm"),
    path("confirm/", step_up_views.confirm, name="step_up"),
    path("login/", step_up_views.sign_in, name="login"),
    path("single-sign-on/", sso_views.begin, name="single_sign_on"),
    path("single-sign-on/callback/", sso_views.callback, name="single_sign_on_callback"),
    path("single-sign-on/link/", sso_views.link, name="single_sign_on_link"),
    path("logout/", sso_views.sign_out, name="staff_sign_out"),
    path(
        "invitation/<uidb64>/<token>/",
        InvitationView.as_view(success_url=reverse_lazy("admin:login")),
        name="staff_invitation",
    ),
]
