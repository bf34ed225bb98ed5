from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """The indexes of the lists, in the order of their pages: time and id, after each filter."""

    atomic = False  # built while payments go on

    dependencies = [("gateway", "0002_status_guards")]

    operations = [
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                name="payment_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
        ),
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                name="payment_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
        ),
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                name="payment_by_merchant_channel",
                fields=["merchant", "environment", "channel", "status", "-created_at", "-id"],
            ),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                name="refund_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                name="refund_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
        ),
        AddIndexOnline(
            model_name="dispute",
            index=models.Index(
                name="dispute_by_merchant", fields=["merchant", "environment", "-created_at", "-id"]
            ),
        ),
        AddIndexOnline(
            model_name="dispute",
            index=models.Index(
                name="dispute_by_merchant_status",
                fields=["merchant", "environment", "status", "-created_at", "-id"],
            ),
        ),
    ]
