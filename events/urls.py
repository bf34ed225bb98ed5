from django.urls import path

from events.api import events

urlpatterns = [
    path("events", events.EventListView.as_view()),
    path("events/<uuid:event_id>", events.EventView.as_view()),
]
