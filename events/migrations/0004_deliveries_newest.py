from django.db import migrations, models


class Migration(migrations.Migration):
    # Not CONCURRENTLY: that waits for every older snapshot, and an instance that waits for its turn to migrate has one.
    dependencies = [("events", "0003_endpoint_notices")]

    operations = [
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["-created_at"], name="webhook_delivery_newest"),
        ),
    ]
