from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    """Of a table that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("gateway", "0012_attempt_opened_by")]

    operations = [
        AddIndexOnline(
            model_name="paymentattempt",
            index=models.Index(
                condition=models.Q(("opened_by__isnull", False)),
                fields=["opened_by"],
                name="payment_attempt_by_saga",
            ),
        ),
    ]
