"""The page of a merchant."""

from collections.abc import Collection
from typing import Any

from django.utils.translation import gettext as _

from backoffice.page_parts import ObjectPage, PageFact, StatusBadge
from backoffice.services import merchant_panels
from common.list_columns import show_moment
from merchants.models import Merchant, MerchantStatus


def build_merchant_page(merchant: Merchant, *, environments: Collection[str], user: Any) -> ObjectPage:
    is_active = merchant.status == MerchantStatus.ACTIVE
    return ObjectPage(
        heading=merchant.name,
        state=StatusBadge(merchant.get_status_display(), "success" if is_active else "danger"),
        facts=[
            PageFact(_("e-mail"), merchant.email, f"mailto:{merchant.email}"),
            PageFact(_("merchant id"), str(merchant.pk), is_code=True),
            PageFact(_("created at"), show_moment(merchant.created_at)),
        ],
        panels=merchant_panels.panels(merchant_id=merchant.pk, environments=environments, user=user),
    )
