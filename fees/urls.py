from django.urls import path

from fees.api.views import StatementCsvView, StatementListView, StatementPdfView

urlpatterns = [
    path("statements", StatementListView.as_view()),
    path("statements/<uuid:statement_id>/csv", StatementCsvView.as_view()),
    path("statements/<uuid:statement_id>/pdf", StatementPdfView.as_view()),
]
