"""Sagas as staff see them. Looking only: what a person may do to a saga goes through its operations."""

from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import FlatInline, ReadOnlyAdmin, badge_column, flag_column, known_values_filter
from sagas import registry
from sagas.models import SagaEvent, SagaInstance, SagaSignal, SagaStep

COLOURS = {
    "pending": "info",
    "in_progress": "info",
    "completed": "success",
    "compensated": "warning",
    "failed": "danger",
}


def definition_names() -> list[str]:
    return sorted({definition.name for definition in registry.definitions()})


class StepInline(FlatInline):
    model = SagaStep
    fields = (
        "step_order",
        "step_name",
        "status",
        "in_doubt",
        "retry_count",
        "max_retry_count",
        "next_retry_at",
        "executed_at",
        "compensated_at",
        "error_message",
    )


class SignalInline(FlatInline):
    model = SagaSignal
    fields = ("received_at", "name", "signal_id", "taken_at", "taken_by", "payload")
    readonly_fields = ("received_at",)


class EventInline(FlatInline):
    model = SagaEvent
    verbose_name_plural = _("history")
    fields = (
        "created_at",
        "kind",
        "step_name",
        "direction",
        "outcome",
        "detail",
        "duration_ms",
        "worker",
        "actor",
        "reason",
    )
    readonly_fields = ("created_at",)


@admin.register(SagaInstance)
class SagaInstanceAdmin(ReadOnlyAdmin):
    attention = flag_column("needs_attention", _("needs attention"))
    coloured_status = badge_column("status", _("status"), COLOURS)
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
    )
    search_fields = ("=business_id", "=id")
    search_help_text = _("Payment number, refund number or saga id, in full.")
    ordering = ("-created_at",)
    inlines = (StepInline, SignalInline, EventInline)
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
            _("Needs a person"),
            {"fields": ("needs_attention", "attention_reason", "error_code", "error_message")},
        ),
        (
            _("Who works on it"),
            {
                "fields": (
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
        (_("Data"), {"fields": ("metadata", "trace_context")}),
    )


@admin.register(SagaStep)
class SagaStepAdmin(ReadOnlyAdmin):
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
    list_display = ("created_at", "saga", "kind", "step_name", "direction", "outcome", "duration_ms", "actor")
    list_filter = ("kind",)
    list_select_related = ("saga",)
    search_fields = ("=saga__business_id", "=saga__id")
