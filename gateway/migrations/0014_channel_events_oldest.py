from django.db import migrations, models

from common.postgresql.operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("gateway", "0013_tried_again")]

    operations = [
        AddIndexOnline(
            model_name="channelevent",
            index=models.Index(fields=["received_at"], name="channel_event_oldest"),
        ),
    ]
