"""The payout plan of a merchant: when its money becomes payable, and when it is paid out."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from common.ids import uuid7
from merchants.models import Environment, Merchant

MAX_HOLD_DAYS = 180
BASIS_POINTS_PER_WHOLE = 10_000


class DayCount(models.TextChoices):
    CALENDAR = "calendar", _("Calendar days")
    BUSINESS = "business", _("Business days, Monday to Friday")


class Schedule(models.TextChoices):
    MANUAL = "manual", _("Only by hand")
    DAILY = "daily", _("Daily")
    WEEKLY = "weekly", _("Weekly")
    MONTHLY = "monthly", _("Monthly")


class PayoutPlan(models.Model):
    """Changes apply to payouts that are frozen from then on."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    merchant = models.ForeignKey(Merchant, on_delete=models.PROTECT, related_name="+", db_index=False)
    environment = models.CharField(max_length=10, choices=Environment)
    hold_days = models.PositiveSmallIntegerField(
        default=2,
        validators=[MaxValueValidator(MAX_HOLD_DAYS)],
        help_text=_("Days after the day of the payment until its money is payable."),
    )
    day_count = models.CharField(max_length=10, choices=DayCount, default=DayCount.BUSINESS)
    time_zone = models.CharField(
        max_length=50, default="UTC", help_text=_("In which days are counted, such as Asia/Shanghai.")
    )
    reserve_basis_points = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(BASIS_POINTS_PER_WHOLE)],
        help_text=_("Part of the captured money that is kept back, in basis points (1/100 %)."),
    )
    reserve_days = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(MAX_HOLD_DAYS)],
        help_text=_("For how many days after the payment the reserve is kept back."),
    )
    minimum_minor = models.BigIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text=_("A smaller balance is not paid out, in minor units of each currency."),
    )
    schedule = models.CharField(max_length=10, choices=Schedule, default=Schedule.MANUAL)
    schedule_day = models.PositiveSmallIntegerField(
        default=1,
        validators=[MinValueValidator(1), MaxValueValidator(31)],
        help_text=_(
            "Weekly: 1 is Monday, 7 is Sunday. Monthly: the day, or the last one of a shorter month."
        ),
    )
    last_scheduled_on = models.DateField(
        null=True, blank=True, help_text=_("The last day of its schedule, in its time zone, that has a run.")
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "payout_plans"
        verbose_name = _("payout plan")
        verbose_name_plural = _("payout plans")
        constraints = [
            models.UniqueConstraint(name="payout_plan_once", fields=["merchant", "environment"]),
            models.CheckConstraint(
                name="payout_plan_valid",
                condition=Q(
                    hold_days__lte=MAX_HOLD_DAYS,
                    reserve_days__lte=MAX_HOLD_DAYS,
                    reserve_basis_points__lte=BASIS_POINTS_PER_WHOLE,
                    minimum_minor__gte=1,
                    schedule_day__gte=1,
                    schedule_day__lte=31,
                    day_count__in=DayCount.values,
                    schedule__in=Schedule.values,
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_schedule_display()} {self.environment}"
