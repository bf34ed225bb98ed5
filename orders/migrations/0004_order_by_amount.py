from django.db import migrations, models


class Migration(migrations.Migration):
    # Not CONCURRENTLY: that waits for every older snapshot, and an instance that waits for its turn to migrate has one.
    dependencies = [("orders", "0003_no_index_twice")]

    operations = [
        migrations.AddIndex(
            model_name="order",
            index=models.Index(fields=["currency", "amount_minor"], name="order_by_amount"),
        ),
    ]
