"""Workers claim what is due by themselves: one column says since when, and it is always true, whoever writes."""

import django.db.models.functions.comparison
from django.db import migrations, models

# Steps know their retries (the quick start's query reads them there); the saga's row knows the earliest one.
FORWARD = """
CREATE FUNCTION keep_saga_retry_at() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    earliest timestamptz;
BEGIN
    SELECT min(next_retry_at) INTO earliest FROM saga_steps WHERE saga_id = NEW.saga_id;
    UPDATE saga_instances SET retry_at = earliest
    WHERE id = NEW.saga_id AND retry_at IS DISTINCT FROM earliest;
    RETURN NULL;
END $$;
CREATE TRIGGER saga_steps_retry_inserted AFTER INSERT ON saga_steps
    FOR EACH ROW WHEN (NEW.next_retry_at IS NOT NULL) EXECUTE FUNCTION keep_saga_retry_at();
CREATE TRIGGER saga_steps_retry_updated AFTER UPDATE ON saga_steps
    FOR EACH ROW WHEN (OLD.next_retry_at IS DISTINCT FROM NEW.next_retry_at) EXECUTE FUNCTION keep_saga_retry_at();
UPDATE saga_instances SET retry_at = earliest.at
FROM (SELECT saga_id, min(next_retry_at) AS at FROM saga_steps WHERE next_retry_at IS NOT NULL GROUP BY 1) AS earliest
WHERE id = earliest.saga_id;
"""
BACKWARD = """
DROP TRIGGER saga_steps_retry_inserted ON saga_steps;
DROP TRIGGER saga_steps_retry_updated ON saga_steps;
DROP FUNCTION keep_saga_retry_at();
"""


class Migration(migrations.Migration):
    dependencies = [("sagas", "0006_calls_under_new_keys")]

    operations = [
        migrations.RemoveIndex(model_name="sagainstance", name="saga_lease_expiry"),
        migrations.RemoveIndex(model_name="sagainstance", name="saga_wait_timeout"),
        migrations.AddField(
            model_name="sagainstance",
            name="task_queue",
            field=models.CharField(
                db_default="default",
                editable=False,
                help_text="Queues have workers of their own.",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="sagainstance",
            name="fairness_key",
            field=models.CharField(
                db_default="shared",
                editable=False,
                help_text="Within a queue, keys are served in turns.",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="sagainstance",
            name="retry_at",
            field=models.DateTimeField(
                editable=False, help_text="The earliest retry of its steps, kept by a trigger.", null=True
            ),
        ),
        migrations.AddField(
            model_name="sagainstance",
            name="due_at",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        models.Q(("needs_attention", False), ("status__in", ("pending", "in_progress"))),
                        then=django.db.models.functions.comparison.Coalesce(
                            "lease_expires_at", "retry_at", "waiting_until"
                        ),
                    )
                ),
                help_text="From when on a worker may claim it.",
                output_field=models.DateTimeField(null=True),
            ),
        ),
        migrations.AddIndex(
            model_name="sagainstance",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="saga_due"
            ),
        ),
        migrations.AddIndex(
            model_name="sagainstance",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)),
                fields=["task_queue", "fairness_key", "due_at"],
                name="saga_due_by_fairness_key",
            ),
        ),
        migrations.RunSQL(FORWARD, BACKWARD),
    ]
