from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("dashboard", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="PaidHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("hour", models.DateTimeField(verbose_name="hour")),
                ("environment", models.CharField(max_length=10, verbose_name="environment")),
                ("currency", models.CharField(max_length=3, verbose_name="currency")),
                ("captured_minor", models.BigIntegerField(verbose_name="captured")),
                ("refunded_minor", models.BigIntegerField(verbose_name="refunded")),
            ],
            options={
                "verbose_name": "hour of money",
                "verbose_name_plural": "hours of money",
                "db_table": "paid_hours",
                "constraints": [
                    models.UniqueConstraint(fields=("hour", "environment", "currency"), name="paid_hour_once")
                ],
            },
        ),
        # Hours that were added up have to be added up anew, with what was paid in them.
        migrations.RunSQL("DELETE FROM dashboard_progress WHERE name = 'hours'", migrations.RunSQL.noop),
    ]
