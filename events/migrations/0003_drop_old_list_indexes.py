from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("events", "0002_list_indexes")]

    operations = [
        migrations.RemoveIndex(model_name="outboxevent", name="outbox_list"),
    ]
