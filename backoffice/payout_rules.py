"""Rules that the pages of payouts share: the approver, the merchant, and the obstacles to payouts."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backoffice.approvals.approvers import find_approver_conflict
from common.errors import FieldsRefused
from merchants.models import Merchant

NOT_HELD = gettext_lazy(
    "This platform holds no money for merchants (HOLDS_MERCHANT_FUNDS=0), so it pays none out."
)


def find_conflict(approver: str, requester: str) -> str:
    return find_approver_conflict(approver=approver, requester=requester)


def find_platform_obstacle(_row: Any) -> str:
    return "" if settings.HOLDS_MERCHANT_FUNDS else str(NOT_HELD)


def find_payee(data: dict[str, Any]) -> Merchant:
    email = data.pop("merchant_email")
    merchant = Merchant.objects.filter(email=email.lower()).first()
    if merchant is None:
        raise FieldsRefused({"merchant_email": _("There is no merchant with the e-mail %s.") % email})
    return merchant
