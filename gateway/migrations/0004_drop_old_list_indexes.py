from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("gateway", "0003_list_indexes")]

    operations = [
        migrations.RemoveIndex(model_name="payment", name="payment_list"),
        migrations.RemoveIndex(model_name="refund", name="refund_list"),
        migrations.RemoveIndex(model_name="dispute", name="dispute_list"),
    ]
