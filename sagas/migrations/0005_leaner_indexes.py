import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0004_waiting_and_signals"),
    ]

    operations = [
        migrations.RunSQL(
            "UPDATE saga_instances SET lease_owner = 'queue' WHERE lease_owner = '' AND lease_expires_at IS NOT NULL",
            migrations.RunSQL.noop,
        ),
        # A saga's rows are changed within seconds of their birth: room for the new versions on the same page.
        migrations.RunSQL(
            "ALTER TABLE saga_instances SET (fillfactor = 70); ALTER TABLE saga_steps SET (fillfactor = 70)",
            "ALTER TABLE saga_instances RESET (fillfactor); ALTER TABLE saga_steps RESET (fillfactor)",
        ),
        migrations.RemoveIndex(
            model_name="sagainstance",
            name="saga_lease_expiry",
        ),
        migrations.RemoveIndex(
            model_name="sagastep",
            name="saga_step_due_retry",
        ),
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
        migrations.AddIndex(
            model_name="sagainstance",
            index=models.Index(
                condition=models.Q(("lease_owner", ""), _negated=True),
                fields=["created_at"],
                name="saga_held",
            ),
        ),
        migrations.AddIndex(
            model_name="sagastep",
            index=models.Index(
                condition=models.Q(("next_retry_at__isnull", False)),
                fields=["next_retry_at"],
                name="saga_step_due_retry",
            ),
        ),
        migrations.AddConstraint(
            model_name="sagainstance",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lease_expires_at__isnull", True), ("lease_owner", "")),
                    models.Q(
                        models.Q(("lease_owner", ""), _negated=True), ("lease_expires_at__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="saga_lease_has_an_owner",
            ),
        ),
    ]
