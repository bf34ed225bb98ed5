from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0004_no_index_twice")]

    operations = [
        AddIndexOnline(
            model_name="payment",
            index=models.Index(fields=["currency", "amount_minor"], name="payment_by_amount"),
        ),
    ]
