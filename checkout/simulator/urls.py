from django.urls import path

from checkout.simulator import views

urlpatterns = [path("<str:token>", views.show_checkout, name="checkout")]
