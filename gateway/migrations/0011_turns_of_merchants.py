from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0010_unknown_channel_events")]

    operations = [
        migrations.RemoveIndex(model_name="payment", name="payment_due_check"),
        migrations.RemoveIndex(model_name="refund", name="refund_due_check"),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("expiry_attempts__lt", 6), ("status", "pending")),
                fields=["environment", "merchant", "expires_at"],
                name="payment_expiry_by_merchant",
            ),
        ),
        migrations.AddIndex(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("next_check_at__isnull", False)),
                fields=["environment", "channel", "merchant", "check_count", "next_check_at"],
                name="payment_due_check",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("next_check_at__isnull", False)),
                fields=["environment", "merchant", "check_count", "next_check_at"],
                name="refund_due_check",
            ),
        ),
    ]
