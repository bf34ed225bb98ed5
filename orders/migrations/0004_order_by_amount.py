from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0003_no_index_twice")]

    operations = [
        AddIndexOnline(
            model_name="order",
            index=models.Index(fields=["currency", "amount_minor"], name="order_by_amount"),
        ),
    ]
