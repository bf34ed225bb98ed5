from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("gateway", "0011_turns_of_merchants")]

    operations = [
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("expiry_attempts__lt", 6), ("status", "pending")),
                fields=["environment", "merchant", "expires_at"],
                name="payment_expiry_by_merchant",
            ),
        ),
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("next_check_at__isnull", False)),
                fields=["environment", "channel", "merchant", "check_count", "next_check_at"],
                name="payment_due_check",
            ),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("next_check_at__isnull", False)),
                fields=["environment", "merchant", "check_count", "next_check_at"],
                name="refund_due_check",
            ),
        ),
    ]
