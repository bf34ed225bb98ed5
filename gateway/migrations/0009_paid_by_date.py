from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0008_reviews_follow")]

    operations = [
        AddIndexOnline(
            model_name="payment",
            index=models.Index(
                condition=models.Q(("paid_at__isnull", False)),
                fields=["paid_at"],
                name="payment_paid",
            ),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("status", "succeeded")),
                fields=["settled_at"],
                name="refund_settled",
            ),
        ),
    ]
