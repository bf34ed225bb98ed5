"""Routing rules: they choose the channel when the merchant names none."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from channel_accounts.models import StoredChannelAccount
from merchants.models import Environment, Merchant


class RoutingStrategy(models.TextChoices):
    """The order of rules of equal priority: by success rate when one of them says so."""

    WEIGHT = "weight", _("Weight")
    SUCCESS_RATE = "success_rate", _("Success rate")


class RoutingRule(models.Model):
    """Among the matching rules of the highest priority the weights or the success rates decide. The channels of the
    other matching rules are fallback channels."""

    environment = models.CharField(max_length=10, choices=Environment)
    priority = models.IntegerField(
        default=0, help_text=_("The matching rule with the highest priority is used.")
    )
    weight = models.PositiveIntegerField(
        default=1, help_text=_("The share among matching rules of the same priority.")
    )
    strategy = models.CharField(
        max_length=20,
        choices=RoutingStrategy,
        default=RoutingStrategy.WEIGHT,
        db_default=RoutingStrategy.WEIGHT,
        help_text=_(
            "How matching rules of the same priority are ordered: by success rate when one of them says so. The "
            "weights then distribute 5 percent of the payments."
        ),
    )
    channel = models.CharField(max_length=30)
    channel_account = models.ForeignKey(
        StoredChannelAccount,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: the newest account of the merchant at the channel, or the platform's."),
    )
    merchant = models.ForeignKey(
        Merchant,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=_("Empty: every merchant."),
    )
    payment_method = models.CharField(max_length=40, blank=True, help_text=_("Empty: every payment method."))
    currency = models.CharField(max_length=3, blank=True, help_text=_("Empty: every currency."))
    min_amount_minor = models.BigIntegerField(null=True, blank=True)
    max_amount_minor = models.BigIntegerField(null=True, blank=True)
    country = models.CharField(
        max_length=2, blank=True, help_text=_("Of the customer. Empty: every country.")
    )
    card_brand = models.CharField(max_length=20, blank=True, help_text=_("Such as visa. Empty: every card."))
    card_bin = models.CharField(
        max_length=8,
        blank=True,
        help_text=_("The first digits of the card number. Empty: every card."),
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "routing_rules"
        verbose_name = _("routing rule")
        verbose_name_plural = _("routing rules")
        # The error code of a constraint is the field that it is about.
        constraints = [
            models.CheckConstraint(
                name="routing_rule_environment_known", condition=Q(environment__in=Environment.values)
            ),
            models.CheckConstraint(
                name="routing_rule_weight",
                condition=Q(weight__gte=1, weight__lte=1_000_000),
                violation_error_code="weight",
                violation_error_message=_("The weight is at least 1."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_need_a_currency",
                condition=~Q(currency="") | Q(min_amount_minor__isnull=True, max_amount_minor__isnull=True),
                violation_error_code="currency",
                violation_error_message=_("An amount needs a currency."),
            ),
            models.CheckConstraint(
                name="routing_rule_strategy_known", condition=Q(strategy__in=RoutingStrategy.values)
            ),
            models.CheckConstraint(
                name="routing_rule_country",
                condition=Q(country="") | Q(country__regex="^[A-Z]{2}$"),
                violation_error_code="country",
                violation_error_message=_("A country is its two letters, such as DE."),
            ),
            models.CheckConstraint(
                name="routing_rule_card_bin",
                condition=Q(card_bin="") | Q(card_bin__regex="^[0-9]{1,8}$"),
                violation_error_code="card_bin",
                violation_error_message=_("Give up to eight digits."),
            ),
            models.CheckConstraint(
                name="routing_rule_amounts_in_order",
                condition=Q(min_amount_minor__isnull=True)
                | Q(max_amount_minor__isnull=True)
                | Q(min_amount_minor__lte=F("max_amount_minor")),
                violation_error_code="min_amount_minor",
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
