from django.db import migrations, models


class Migration(migrations.Migration):
    """Requests are compared field by field: the second fingerprint, of money and target alone, is gone (ADR 20)."""

    dependencies = [("idempotency", "0001_initial")]

    operations = [
        # A default first: the way back must be possible with rows in the table.
        migrations.AlterField(
            model_name="idempotencykey",
            name="core_fingerprint",
            field=models.CharField(max_length=64, default=""),
        ),
        migrations.RemoveField(model_name="idempotencykey", name="core_fingerprint"),
    ]
