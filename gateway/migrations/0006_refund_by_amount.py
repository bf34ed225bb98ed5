from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0005_payment_by_amount")]

    operations = [
        AddIndexOnline(
            model_name="refund",
            index=models.Index(fields=["currency", "amount_minor"], name="refund_by_amount"),
        ),
    ]
