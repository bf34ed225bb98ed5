from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0005_no_index_twice"),
    ]

    operations = [
        migrations.AddField(
            model_name="sagastep",
            name="call_number",
            field=models.PositiveIntegerField(
                db_default=1,
                default=1,
                help_text="Part of the idempotency key: raised when the earlier calls certainly had no effect.",
            ),
        ),
        migrations.AddField(
            model_name="sagastep",
            name="intended_at",
            field=models.DateTimeField(
                blank=True,
                help_text="When the intent of the call with this number was committed.",
                null=True,
            ),
        ),
    ]
