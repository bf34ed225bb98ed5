import django.db.models.expressions
from django.db import migrations, models

from common.postgresql.operations import AddCheckOnline, AddIndexOnline, AddUniqueOnline, UpdateInBatches

# Until 0003 a payment had one attempt, which its channel knew by the payment number.


class Migration(migrations.Migration):
    """Of tables that may be big: nobody waits for it."""

    atomic = False
    dependencies = [("gateway", "0003_attempts_elsewhere")]

    operations = [
        UpdateInBatches(
            "payment_attempts",
            "UPDATE payment_attempts a SET reference = p.payment_no FROM payments p"
            " WHERE p.id = a.payment_id AND a.number = 1 AND a.id = ANY(%s)",
        ),
        UpdateInBatches("payments", "UPDATE payments SET channel_reference = payment_no WHERE id = ANY(%s)"),
        AddIndexOnline(
            model_name="paymentattempt",
            index=models.Index(
                condition=models.Q(("surplus_minor__gt", 0)),
                fields=["created_at"],
                name="payment_attempt_surplus",
            ),
        ),
        AddIndexOnline(
            model_name="paymentattempt",
            index=models.Index(fields=["channel", "created_at"], name="payment_attempt_by_channel"),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("contradicted_at__isnull", False)),
                fields=["contradicted_at"],
                name="refund_contradicted",
            ),
        ),
        AddIndexOnline(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("surplus_of__isnull", False)),
                fields=["surplus_of"],
                name="refund_of_surplus",
            ),
        ),
        AddUniqueOnline(
            model_name="paymentattempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("reference", ""), _negated=True),
                fields=("reference",),
                name="payment_attempt_reference_once",
            ),
        ),
        AddCheckOnline(
            model_name="paymentattempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "surplus_minor__gte",
                        django.db.models.expressions.CombinedExpression(
                            models.F("surplus_refunded_minor"), "+", models.F("surplus_pending_minor")
                        ),
                    ),
                    ("surplus_pending_minor__gte", 0),
                    ("surplus_refunded_minor__gte", 0),
                ),
                name="payment_attempt_surplus_adds_up",
            ),
        ),
        AddCheckOnline(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("late_refunded_minor", 0),
                    models.Q(
                        ("late_refunded_minor__gt", 0),
                        ("late_refunded_minor__lte", models.F("amount_minor")),
                        ("status", "failed"),
                    ),
                    _connector="OR",
                ),
                name="refund_late_part",
            ),
        ),
    ]
