from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_list_indexes")]

    operations = [
        migrations.RemoveIndex(model_name="order", name="order_list"),
    ]
