from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """The indexes of the lists, in the order of their pages: time and id, after each filter."""

    atomic = False  # built while payments go on

    dependencies = [("events", "0001_initial")]

    operations = [
        AddIndexOnline(
            model_name="outboxevent",
            index=models.Index(
                name="outbox_by_merchant", fields=["merchant_id", "environment", "-created_at", "-event_id"]
            ),
        ),
        AddIndexOnline(
            model_name="outboxevent",
            index=models.Index(
                name="outbox_by_merchant_type",
                fields=["merchant_id", "environment", "type", "-created_at", "-event_id"],
            ),
        ),
    ]
