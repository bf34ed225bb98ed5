from django.urls import path

from gateway.api.dispute_responses import (
    DisputeAcceptView,
    DisputeSubmitView,
    EvidenceFileView,
    EvidenceView,
)
from gateway.api.disputes import DisputeListView, DisputeView
from gateway.api.payment_methods import PaymentMethodListView
from gateway.api.payments import (
    ChannelPaymentCancelView,
    OrderCancelView,
    PaymentAuthorizationIncrementView,
    PaymentCancelView,
    PaymentCaptureView,
    PaymentListView,
    PaymentSyncView,
    PaymentView,
)
from gateway.api.refunds import RefundListView, RefundView
from gateway.api.webhooks import ChannelWebhookView

# They are matched in this order: the most frequent requests come first.
urlpatterns = [
    path("payments", PaymentListView.as_view()),
    path("webhooks/<str:channel>", ChannelWebhookView.as_view()),
    path("webhooks/<str:channel>/<str:token>", ChannelWebhookView.as_view()),
    path("refunds", RefundListView.as_view()),
    path("payments/<str:payment_no>", PaymentView.as_view()),
    path("payments/<str:payment_no>/cancel", PaymentCancelView.as_view()),
    path("payments/<str:payment_no>/capture", PaymentCaptureView.as_view()),
    path("payments/<str:payment_no>/increment-authorization", PaymentAuthorizationIncrementView.as_view()),
    path("payments/<str:payment_no>/sync", PaymentSyncView.as_view()),
    path("payment-methods", PaymentMethodListView.as_view()),
    path("refunds/<str:refund_no>", RefundView.as_view()),
    path("disputes", DisputeListView.as_view()),
    path("disputes/<str:dispute_no>", DisputeView.as_view()),
    path("disputes/<str:dispute_no>/evidence", EvidenceView.as_view()),
    path("disputes/<str:dispute_no>/evidence/files", EvidenceFileView.as_view()),
    path("disputes/<str:dispute_no>/submit", DisputeSubmitView.as_view()),
    path("disputes/<str:dispute_no>/accept", DisputeAcceptView.as_view()),
    path("orders/<str:order_no>/cancel", OrderCancelView.as_view()),
    path("channel/payments/<str:channel_trade_no>/cancel", ChannelPaymentCancelView.as_view()),
]
