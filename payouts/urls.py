from django.urls import path

from payouts.api.views import PayableBalanceView, PayoutListView, PayoutView

urlpatterns = [
    path("payable-balance", PayableBalanceView.as_view()),
    path("payouts", PayoutListView.as_view()),
    path("payouts/<str:payout_no>", PayoutView.as_view()),
]
