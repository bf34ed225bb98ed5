from django.urls import path

from channel_accounts import api

_ACCOUNT = "channel-accounts/<uuid:account_id>"

urlpatterns = [
    path("channel-accounts", api.AccountListView.as_view()),
    path(_ACCOUNT, api.AccountView.as_view()),
    path(f"{_ACCOUNT}/rotate", api.RotateAccountView.as_view()),
    path(f"{_ACCOUNT}/check", api.CheckAccountView.as_view()),
    path(f"{_ACCOUNT}/disable", api.DisableAccountView.as_view()),
    path(f"{_ACCOUNT}/enable", api.EnableAccountView.as_view()),
]
