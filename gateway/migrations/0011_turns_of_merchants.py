from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("gateway", "0010_unknown_channel_events")]

    operations = [
        migrations.RemoveIndex(model_name="payment", name="payment_due_check"),
        migrations.RemoveIndex(model_name="refund", name="refund_due_check"),
    ]
