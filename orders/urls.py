from django.urls import path

from orders.api import OrderListView, OrderView

urlpatterns = [
    path("orders", OrderListView.as_view()),
    path("orders/<str:order_no>", OrderView.as_view()),
]
