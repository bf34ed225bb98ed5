from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("events", "0002_webhooks")]

    operations = [
        AddIndexOnline(
            model_name="outboxevent",
            index=models.Index(
                condition=models.Q(("fanned_out_at__isnull", True)),
                fields=["id"],
                name="outbox_not_fanned_out",
            ),
        ),
        AddIndexOnline(
            model_name="outboxevent",
            index=models.Index(fields=["merchant_id", "environment", "-event_id"], name="outbox_list"),
        ),
    ]
