"""Routing rules: they choose the channel when the merchant names none."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from merchants.models import Environment, Merchant


class RoutingRule(models.Model):
    """Among the matching rules of the highest priority the weights decide. The channels of the other matching rules are
    fallback channels."""

    environment = models.CharField(max_length=10, choices=Environment)
    priority = models.IntegerField(
        default=0, help_text=_("The matching rule with the highest priority is used.")
    )
    weight = models.PositiveIntegerField(
        default=1, help_text=_("The share among matching rules of the same priority.")
    )
    channel = models.CharField(max_length=30)
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: every merchant."),
    )
    currency = models.CharField(max_length=3, blank=True, help_text=_("Empty: every currency."))
    min_amount_minor = models.BigIntegerField(null=True, blank=True)
    max_amount_minor = models.BigIntegerField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "routing_rules"
        verbose_name = _("routing rule")
        verbose_name_plural = _("routing rules")
        constraints = [
            models.CheckConstraint(
                name="routing_rule_environment_known", condition=Q(environment__in=Environment.values)
            ),
            models.CheckConstraint(
                name="routing_rule_weight",
                condition=Q(weight__gte=1, weight__lte=1_000_000),
                violation_error_message=_("The weight is at least 1."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_need_a_currency",
                condition=~Q(currency="") | Q(min_amount_minor__isnull=True, max_amount_minor__isnull=True),
                violation_error_message=_("An amount needs a currency."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_in_order",
                condition=Q(min_amount_minor__isnull=True)
                | Q(max_amount_minor__isnull=True)
                | Q(min_amount_minor__lte=F("max_amount_minor")),
                violation_error_message=_("The minimum amount is above the maximum amount."),
            ),
        ]
        indexes = [
            models.Index(
                name="routing_rule_matching",
                fields=["environment", "-priority"],
                condition=Q(is_active=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.environment} {self.priority} {self.channel}"
