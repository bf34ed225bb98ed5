from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("webhooks", "0002_list_indexes")]

    operations = [
        migrations.RemoveIndex(model_name="webhookdelivery", name="webhook_delivery_list"),
    ]
