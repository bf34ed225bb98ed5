"""Read-only admin lists of sagas, steps, events and signals. The backoffice adds the actions."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from common.admin import (
    ReadOnlyAdmin,
    badge_column,
    choice_filter,
    flag_column,
    known_values_filter,
    redacted_json_column,
)
from common.admin_lists import CreatedFilter
from sagas import inspection, registry
from sagas.labels import outcome_label
from sagas.models import SagaEvent, SagaInstance, SagaSignal, SagaStep

COLOURS = {
    "pending": "info",
    "in_progress": "info",
    "completed": "success",
    "compensated": "warning",
    "failed": "danger",
}


STUCK_SHOWN = 1000


def _filter_stuck(rows: QuerySet[Any], _value: str) -> QuerySet[Any]:
    """The stuck sagas that have been due for longest, at most `STUCK_SHOWN`: read from the index of due sagas."""
    stuck = inspection.filter_stuck(SagaInstance.objects.all())
    return rows.filter(pk__in=stuck.order_by("due_at").values("pk")[:STUCK_SHOWN])


stuck_filter = choice_filter(
    "stuck", _("stuck"), [("yes", _("Due for over a minute, claimed by no worker"))], _filter_stuck
)


def definition_names() -> list[str]:
    return sorted({definition.name for definition in registry.list_definitions()})


@admin.register(SagaInstance)
class SagaInstanceAdmin(ReadOnlyAdmin):
    attention = flag_column("needs_attention", _("needs review"))
    coloured_status = badge_column("status", _("status"), COLOURS)
    redacted_metadata = redacted_json_column("metadata")
    readonly_fields = ("redacted_metadata",)
    list_display = (
        "business_id",
        "definition",
        "coloured_status",
        "direction",
        "current_step",
        "attention",
        "created_at",
        "completed_at",
    )
    list_filter = (
        "status",
        known_values_filter("definition", _("definition"), definition_names),
        "needs_attention",
        stuck_filter,
        CreatedFilter,
    )
    saved_views = (
        (_("All"), ""),
        (_("Needs review"), "needs_attention__exact=1"),
        (_("Stuck"), "stuck=yes"),
        (_("In progress"), "status__exact=in_progress"),
        (_("Compensated"), "status__exact=compensated"),
        (_("Failed"), "status__exact=failed"),
    )
    search_fields = ("=business_id", "=id")
    search_help_text = _("Payment number, refund number or saga id, in full.")
    ordering = ("-created_at",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "id",
                    "business_id",
                    "business_type",
                    "definition",
                    "definition_version",
                    "status",
                    "direction",
                    "past_pivot",
                    "current_step",
                    "created_at",
                    "updated_at",
                    "completed_at",
                    "compensated_at",
                )
            },
        ),
        (
            _("Needs review"),
            {"fields": ("needs_attention", "attention_reason", "error_code", "error_message")},
        ),
        (
            _("Worker and deadline"),
            {
                "fields": (
                    "task_queue",
                    "fairness_key",
                    "due_at",
                    "lease_owner",
                    "lease_expires_at",
                    "fence",
                    "revision",
                    "claims_without_progress",
                    "deadline_at",
                    "waiting_for",
                    "waiting_until",
                    "cancel_requested_at",
                )
            },
        ),
        (_("Data"), {"fields": ("redacted_metadata", "trace_context")}),
    )


@admin.register(SagaStep)
class SagaStepAdmin(ReadOnlyAdmin):
    redacted_execute_data = redacted_json_column("execute_data")
    redacted_compensate_data = redacted_json_column("compensate_data")
    redacted_result = redacted_json_column("result")
    exclude = ("execute_data", "compensate_data", "result")
    readonly_fields = ("redacted_execute_data", "redacted_compensate_data", "redacted_result")
    coloured_status = badge_column("status", _("status"), COLOURS)
    list_display = (
        "step_name",
        "saga",
        "coloured_status",
        "in_doubt",
        "retry_count",
        "next_retry_at",
        "error_message",
    )
    list_filter = ("status", "in_doubt")
    list_select_related = ("saga",)
    search_fields = ("=saga__business_id", "=saga__id", "=id")


@admin.register(SagaEvent)
class SagaEventAdmin(ReadOnlyAdmin):
    redacted_detail = redacted_json_column("detail")
    exclude = ("detail",)
    readonly_fields = ("redacted_detail",)
    list_display = (
        "created_at",
        "saga",
        "kind",
        "step_name",
        "direction",
        "outcome_label",
        "duration_ms",
        "actor",
    )
    list_filter = ("kind",)
    list_select_related = ("saga",)
    search_fields = ("=saga__business_id", "=saga__id")

    @admin.display(description=_("outcome"))
    def outcome_label(self, event: SagaEvent) -> str | Promise:
        return outcome_label(event.outcome)


@admin.register(SagaSignal)
class SagaSignalAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "saga", "name", "signal_id", "taken_at", "taken_by")
    list_select_related = ("saga",)
    search_fields = ("=saga__business_id", "=saga__id", "=signal_id")
