from django.db import migrations, models


class Migration(migrations.Migration):
    # Not CONCURRENTLY: that waits for every older snapshot, and an instance that waits for its turn to migrate has one.
    dependencies = [("gateway", "0005_payment_by_amount")]

    operations = [
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(fields=["currency", "amount_minor"], name="refund_by_amount"),
        ),
    ]
