from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("gateway", "0009_paid_by_date")]

    operations = [
        migrations.AddIndex(
            model_name="channelevent",
            index=models.Index(
                condition=models.Q(effect="unknown_reference"),
                fields=["received_at"],
                name="channel_event_unknown",
            ),
        ),
    ]
