from django.db import migrations, models

from common.postgresql.operations import AddCheckOnline, AddIndexOnline


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("sagas", "0004_waiting_and_signals")]

    operations = [
        AddIndexOnline(
            model_name="sagainstance",
            index=models.Index(
                condition=models.Q(("needs_attention", False), ("waiting_until__isnull", False)),
                fields=["waiting_until"],
                name="saga_wait_timeout",
            ),
        ),
        AddCheckOnline(
            model_name="sagainstance",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ("pending", "in_progress")), ("waiting_for", ""), _connector="OR"
                ),
                name="saga_at_rest_waits_for_nothing",
            ),
        ),
        AddCheckOnline(
            model_name="sagainstance",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("waiting_for", ""), ("waiting_until__isnull", True)),
                    models.Q(models.Q(("waiting_for", ""), _negated=True), ("waiting_until__isnull", False)),
                    _connector="OR",
                ),
                name="saga_wait_has_an_end",
            ),
        ),
    ]
