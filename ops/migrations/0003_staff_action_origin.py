from django.db import migrations, models

import common.api.request_id
import common.origin

FORWARD = """
CREATE TRIGGER staff_actions_not_truncated BEFORE TRUNCATE ON staff_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
BACKWARD = "DROP TRIGGER staff_actions_not_truncated ON staff_actions;"


class Migration(migrations.Migration):
    dependencies = [
        ("ops", "0002_staff_actions"),
    ]

    operations = [
        migrations.AddField(
            model_name="staffaction",
            name="request_id",
            field=models.CharField(
                blank=True, db_default="", default=common.api.request_id.current_request_id, max_length=64
            ),
        ),
        migrations.AddField(
            model_name="staffaction",
            name="address",
            field=models.GenericIPAddressField(blank=True, default=common.origin.current_address, null=True),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
