from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0009_paid_by_date")]

    operations = [
        AddIndexOnline(
            model_name="channelevent",
            index=models.Index(
                condition=models.Q(effect="unknown_reference"),
                fields=["received_at"],
                name="channel_event_unknown",
            ),
        ),
    ]
