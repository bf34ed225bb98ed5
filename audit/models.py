"""The audit log: what staff did."""

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from audit.action_types import StaffActionType
from common.admin_labels import word
from common.api.request_id import current_request_id
from common.origin import current_address


class StaffAction(models.Model):
    """Append-only: who did what to which object, from where, why, and what it was before and after. Written in the
    transaction of the act itself; the database refuses to change, delete or truncate it.

    Request and address fill themselves in from the request that is being served: no caller can forget them.
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
        verbose_name = _("staff action")
        verbose_name_plural = _("staff actions")
        indexes = [
            models.Index(name="staff_action_by_object", fields=["object_id", "-id"]),
            models.Index(name="staff_action_by_actor", fields=["actor", "-id"]),
            models.Index(name="staff_action_by_action", fields=["action", "-id"]),
            models.Index(
                name="staff_action_by_request", fields=["request_id"], condition=~models.Q(request_id="")
            ),
        ]

    def __str__(self) -> str:
        return f"{word(StaffActionType, self.action)} {self.object_id}"
