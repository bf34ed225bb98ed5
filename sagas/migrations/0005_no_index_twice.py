import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0004a_waiting_online"),
    ]

    operations = [
        migrations.AlterField(
            model_name="sagaevent",
            name="saga",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="sagas.sagainstance",
            ),
        ),
        migrations.AlterField(
            model_name="sagasignal",
            name="saga",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="signals",
                to="sagas.sagainstance",
            ),
        ),
        migrations.AlterField(
            model_name="sagastep",
            name="saga",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="steps",
                to="sagas.sagainstance",
            ),
        ),
    ]
