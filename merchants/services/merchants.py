"""Creates merchants, each with a test key and a live key, and suspends them."""

from dataclasses import dataclass
from uuid import UUID

import structlog
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now

from common.db import insert_unless_exists
from common.errors import ValidationFailed
from merchants.errors import EmailTaken
from merchants.models import Environment, Merchant, MerchantStatus
from merchants.scopes import ALL_SCOPES
from merchants.services.api_keys import NewKey, insert_key

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewMerchant:
    merchant: Merchant
    test_key: NewKey
    live_key: NewKey


@transaction.atomic
def create_merchant(*, name: str, email: str) -> NewMerchant:
    """Creates the merchant and its two keys. Raises `EmailTaken`, and `ValidationFailed` naming the field."""
    merchant = Merchant(name=name.strip(), email=email.strip().lower())
    try:
        merchant.clean_fields(exclude=["created_at", "updated_at"])
    except ValidationError as error:
        raise ValidationFailed(error.message_dict) from error
    if not insert_unless_exists(merchant):
        raise EmailTaken({"email": merchant.email})
    test_key, live_key = (
        insert_key(merchant_id=merchant.pk, environment=environment, scopes=ALL_SCOPES)
        for environment in (Environment.TEST, Environment.LIVE)
    )
    log.info("merchant.created", merchant_id=str(merchant.pk))
    return NewMerchant(merchant=merchant, test_key=test_key, live_key=live_key)


@transaction.atomic
def set_merchant_status(*, merchant_id: UUID, status: MerchantStatus) -> bool:
    """Suspends or reactivates. The keys of a suspended merchant are refused from the next request on.

    Returns False when the merchant had this status already.
    """
    is_changed = (
        Merchant.objects.filter(pk=merchant_id).exclude(status=status).update(status=status, updated_at=Now())
    )
    if is_changed:
        log.info("merchant.status_set", merchant_id=str(merchant_id), status=status.value)
    return bool(is_changed)
