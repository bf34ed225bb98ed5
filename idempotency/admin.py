from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from common.admin import ReadOnlyAdmin, badge_column
from idempotency.models import IdempotencyKey

SHOWN_CHARACTERS = 4000


@admin.register(IdempotencyKey)
class IdempotencyKeyAdmin(ReadOnlyAdmin):
    coloured_state = badge_column("state", _("state"), {"in_flight": "info", "completed": "success"})
    list_display = (
        "key",
        "method",
        "route",
        "coloured_state",
        "response_status",
        "tenant",
        "created_at",
        "completed_at",
    )
    list_filter = ("state",)
    search_fields = ("=key", "=resource_id")
    search_help_text = _("The Idempotency-Key or the id of what it created, in full.")
    ordering = ("-created_at",)
    readonly_fields = ("created_at", "answer")

    @admin.display(description=_("answer"))
    def answer(self, record: IdempotencyKey) -> str:
        if record.response_body is None:
            return ""
        text = bytes(record.response_body).decode(errors="replace")
        return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} …"
