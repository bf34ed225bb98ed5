from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """The indexes of the lists, in the order of their pages: time and id, after each filter."""

    atomic = False  # built while payments go on

    dependencies = [("orders", "0002_order_guards")]

    operations = [
        AddIndexOnline(
            model_name="order",
            index=models.Index(
                name="order_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
        ),
        AddIndexOnline(
            model_name="order",
            index=models.Index(
                name="order_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
        ),
    ]
