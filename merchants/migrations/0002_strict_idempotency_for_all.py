from django.db import migrations


class Migration(migrations.Migration):
    """Every merchant's Idempotency-Keys are compared in full: there is nothing to choose any more (ADR 20)."""

    dependencies = [("merchants", "0001_initial")]

    operations = [migrations.RemoveField(model_name="merchant", name="strict_idempotency")]
