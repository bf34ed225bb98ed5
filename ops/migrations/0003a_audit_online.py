from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("ops", "0003_staff_action_origin")]

    operations = [
        AddIndexOnline(
            model_name="staffaction",
            index=models.Index(fields=["action", "-id"], name="staff_action_by_action"),
        ),
        AddIndexOnline(
            model_name="staffaction",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id"],
                name="staff_action_by_request",
            ),
        ),
    ]
