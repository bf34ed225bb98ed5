import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
from django.db import migrations, models

# TRUNCATE stays possible: that is how tests clean up.
APPEND_ONLY = """
CREATE FUNCTION simulator_ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'simulator_ledger is append-only' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER simulator_ledger_append_only BEFORE UPDATE OR DELETE ON simulator_ledger
    FOR EACH ROW EXECUTE FUNCTION simulator_ledger_refuse();
"""
FREE = """
DROP TRIGGER simulator_ledger_append_only ON simulator_ledger;
DROP FUNCTION simulator_ledger_refuse();
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="CallCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("operation", models.CharField(max_length=20)),
                ("key", models.CharField(max_length=255)),
                ("calls", models.IntegerField()),
            ],
            options={
                "verbose_name": "call count",
                "verbose_name_plural": "call counts",
                "db_table": "simulator_calls",
                "constraints": [
                    models.UniqueConstraint(fields=("operation", "key"), name="simulator_call_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("reference", models.CharField(help_text="The platform's payment number.", max_length=100)),
                ("refund_reference", models.CharField(blank=True, max_length=100)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("charge", "Charge"),
                            ("authorize", "Authorization"),
                            ("capture", "Capture"),
                            ("void", "Release"),
                            ("refund", "Refund"),
                        ],
                        max_length=20,
                    ),
                ),
                ("amount", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("key", models.CharField(max_length=255)),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "verbose_name": "ledger entry",
                "verbose_name_plural": "ledger entries",
                "db_table": "simulator_ledger",
                "indexes": [models.Index(fields=["reference"], name="simulator_ledger_by_reference")],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "key"), name="simulator_ledger_once_per_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "refund"), _negated=True),
                        fields=("reference", "kind"),
                        name="simulator_ledger_once_per_payment",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="simulator_ledger_amount"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                ("event_id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("event_type", models.CharField(max_length=40)),
                ("reference", models.CharField(max_length=100)),
                ("payload", models.JSONField()),
                (
                    "deliveries_left",
                    models.SmallIntegerField(default=1, help_text="More than one: it is sent again."),
                ),
                ("due_at", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
                ("delivered_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "verbose_name": "simulator webhook",
                "verbose_name_plural": "simulator webhooks",
                "db_table": "simulator_notifications",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)),
                        fields=["due_at"],
                        name="simulator_notification_due",
                    ),
                    models.Index(fields=["reference"], name="simulator_notification_of"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "reference",
                    models.CharField(
                        help_text="The platform's payment number.",
                        max_length=100,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("channel_trade_no", models.CharField(max_length=40, unique=True)),
                ("token", models.CharField(help_text="Opens the payment page.", max_length=64, unique=True)),
                ("create_key", models.CharField(max_length=255, null=True, unique=True)),
                ("environment", models.CharField(max_length=10)),
                ("state", models.CharField(default="open", max_length=20)),
                ("amount", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("captured", models.BigIntegerField(default=0)),
                ("refunded", models.BigIntegerField(default=0)),
                ("refund_pending", models.BigIntegerField(default=0)),
                ("manual_capture", models.BooleanField(default=False)),
                ("subject", models.TextField()),
                ("description", models.TextField(blank=True)),
                ("return_url", models.TextField(blank=True)),
                ("simulate", models.TextField(blank=True, help_text="The faults it was created with.")),
                ("failure_code", models.CharField(blank=True, max_length=50)),
                ("failure_message", models.TextField(blank=True)),
                ("expires_at", models.DateTimeField()),
                (
                    "settles_at",
                    models.DateTimeField(help_text="When a payment in processing is decided.", null=True),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
            ],
            options={
                "verbose_name": "simulated payment",
                "verbose_name_plural": "simulated payments",
                "db_table": "simulator_payments",
                "indexes": [
                    models.Index(
                        condition=models.Q(("settles_at__isnull", False)),
                        fields=["settles_at"],
                        name="simulator_payment_to_settle",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "state__in",
                                ["open", "processing", "authorized", "paid", "declined", "cancelled"],
                            )
                        ),
                        name="simulator_payment_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("amount__gte", models.F("captured")),
                            (
                                "captured__gte",
                                django.db.models.expressions.CombinedExpression(
                                    models.F("refunded"), "+", models.F("refund_pending")
                                ),
                            ),
                            ("refund_pending__gte", 0),
                            ("refunded__gte", 0),
                        ),
                        name="simulator_payment_limits",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("settles_at__isnull", True), ("state", "processing"), _connector="OR"
                        ),
                        name="simulator_payment_settles_only_in_processing",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                (
                    "reference",
                    models.CharField(
                        help_text="The platform's refund number.",
                        max_length=100,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("channel_refund_no", models.CharField(max_length=40, unique=True)),
                ("create_key", models.CharField(max_length=255, unique=True)),
                ("state", models.CharField(max_length=20)),
                ("amount", models.BigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.TextField(blank=True)),
                ("failure_code", models.CharField(blank=True, max_length=50)),
                ("failure_message", models.TextField(blank=True)),
                (
                    "settles_at",
                    models.DateTimeField(help_text="When a pending refund is decided.", null=True),
                ),
                ("settles_as", models.CharField(blank=True, max_length=20)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "payment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="refunds",
                        to="simulator.payment",
                    ),
                ),
            ],
            options={
                "verbose_name": "simulated refund",
                "verbose_name_plural": "simulated refunds",
                "db_table": "simulator_refunds",
                "indexes": [
                    models.Index(
                        condition=models.Q(("settles_at__isnull", False)),
                        fields=["settles_at"],
                        name="simulator_refund_to_settle",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["pending", "succeeded", "failed"])),
                        name="simulator_refund_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="simulator_refund_amount"
                    ),
                ],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, FREE),
    ]
