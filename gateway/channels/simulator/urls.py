from django.urls import path

from gateway.channels.simulator import views

urlpatterns = [path("<str:token>", views.checkout, name="checkout")]
