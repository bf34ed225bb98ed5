"""The audit log: the actions of staff, and changes that merchants make to their channel accounts over the API."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.action_types import StaffActionType
from common.admin_labels import label_of
from common.api.request_id import current_request_id
from common.origin import current_address


class StaffAction(models.Model):
    """One action of a member of staff, or change of a merchant: actor, action, object, reason, state before and after.
    Written in the transaction of the action. The actor of a merchant's change is its API key, as `api_key:<id>`. The
    table is append-only: a trigger refuses UPDATE, DELETE and TRUNCATE.

    `request_id` and `address` have defaults that read the current HTTP request, so no caller can leave them out.
    """

    id = models.BigAutoField(primary_key=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=100)
    object_type = models.CharField(max_length=50)
    object_id = models.CharField(max_length=255)
    reason = models.TextField()
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True, default=current_request_id, db_default="")
    address = models.GenericIPAddressField(null=True, blank=True, default=current_address)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "staff_actions"
        verbose_name = _("audit log entry")
        verbose_name_plural = _("audit log entries")
        indexes = [
            models.Index(name="staff_action_by_object", fields=["object_id", "-id"]),
            models.Index(name="staff_action_by_actor", fields=["actor", "-id"]),
            models.Index(name="staff_action_by_action", fields=["action", "-id"]),
            models.Index(
                name="staff_action_by_request",
                fields=["request_id"],
                opclasses=["varchar_pattern_ops"],
                condition=~models.Q(request_id=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{label_of(StaffActionType, self.action)} {self.object_id}"
