from django.db import migrations, models

from common.postgresql.operations import AddCheckOnline, AddIndexOnline, AddUniqueOnline


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("gateway", "0007_reviews_and_disputes")]

    operations = [
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("expiry_attempts__lt", 6), ("status", "pending")),
                fields=["expires_at"],
                name="payment_due_expiry",
            ),
        ),
        AddCheckOnline(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("disputed_minor__gte", 0)), name="payment_disputed_not_negative"
            ),
        ),
        AddCheckOnline(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("origin__in", ["merchant", "staff", "automatic", "channel"])),
                name="refund_origin_known",
            ),
        ),
        AddUniqueOnline(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    models.Q(("channel", ""), _negated=True),
                    models.Q(("channel_refund_no", ""), _negated=True),
                ),
                fields=("channel", "channel_refund_no"),
                name="refund_channel_no_once",
            ),
        ),
    ]
