from django.db import migrations, models

PENDING_PER_PAYMENT = models.UniqueConstraint(
    name="approval_one_pending_per_payment",
    fields=["business_id"],
    condition=models.Q(state="pending", operation__in=("refund", "give_back", "resolve")),
)
SECOND_PERSON = models.CheckConstraint(
    name="approval_by_a_second_person",
    condition=~models.Q(state="approved")
    | (
        ~models.Q(decided_by="")
        & ~models.Q(decided_by=models.F("requested_by"))
        & ~models.Q(decided_by__startswith="terminal:")
        & ~models.Q(requested_by__startswith="terminal:")
    ),
)


class Migration(migrations.Migration):
    dependencies = [("approvals", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="approval",
            name="operation",
            field=models.CharField(
                choices=[
                    ("retry_now", "Retry now"),
                    ("ask_channel", "Ask the channel"),
                    ("skip_step", "Skip the step"),
                    ("compensate", "Compensate"),
                    ("mark_resolved", "Mark resolved"),
                    ("cancel", "Cancel"),
                    ("refund", "Refund"),
                    ("give_back", "Give late money back"),
                    ("resolve", "Mark resolved"),
                ],
                max_length=30,
                verbose_name="operation",
            ),
        ),
        migrations.RemoveConstraint(model_name="approval", name="approval_one_pending_refund"),
        migrations.AddConstraint(model_name="approval", constraint=PENDING_PER_PAYMENT),
        migrations.RemoveConstraint(model_name="approval", name=SECOND_PERSON.name),
        migrations.AddConstraint(model_name="approval", constraint=SECOND_PERSON),
    ]
