from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """The indexes of the lists, in the order of their pages: time and id, after each filter."""

    atomic = False  # built while payments go on

    dependencies = [("webhooks", "0001_initial")]

    operations = [
        AddIndexOnline(
            model_name="webhookdelivery",
            index=models.Index(
                name="delivery_by_merchant", fields=["merchant_id", "environment", "-created_at", "-id"]
            ),
        ),
        AddIndexOnline(
            model_name="webhookdelivery",
            index=models.Index(
                name="delivery_by_merchant_status",
                fields=["merchant_id", "environment", "status", "-created_at", "-id"],
            ),
        ),
        AddIndexOnline(
            model_name="webhookdelivery",
            index=models.Index(
                name="delivery_by_endpoint_status", fields=["endpoint", "status", "-created_at", "-id"]
            ),
        ),
    ]
