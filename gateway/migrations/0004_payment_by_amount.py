from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Built beside running payments: nobody waits for it."""

    atomic = False

    dependencies = [("gateway", "0003_attempts_elsewhere")]

    operations = [
        AddIndexConcurrently(
            model_name="payment",
            index=models.Index(fields=["currency", "amount_minor"], name="payment_by_amount"),
        ),
    ]
