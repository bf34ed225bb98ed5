from django.urls import path

from checkout.simulator import views

urlpatterns = [
    path("simulator/form", views.open_by_form, name="simulator_form"),
    path("<str:token>", views.show_checkout, name="checkout"),
    path("<str:token>/status", views.show_status, name="checkout_status"),
]
