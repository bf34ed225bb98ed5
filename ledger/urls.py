from django.urls import path

from ledger.api.views import BalanceTransactionListView, BalanceView

urlpatterns = [
    path("balance", BalanceView.as_view()),
    path("balance-transactions", BalanceTransactionListView.as_view()),
]
