"""What staff do for merchants and their keys: the act and its line in the audit are one transaction.

Keys and secrets are in what is returned and nowhere else: not in the audit, not in a log line.
"""

import datetime as dt
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from audit import services as audit
from audit.action_types import ObjectType, StaffActionType
from common.errors import OperationRefused
from merchants import services
from merchants.models import ApiKey, Merchant, MerchantStatus
from merchants.services import NewMerchant, Rotation
from webhooks import endpoints
from webhooks.models import WebhookDelivery


def create_merchant(*, name: str, email: str, actor: str, reason: str) -> NewMerchant:
    """Raises `EmailTaken` and `ValidationFailed`."""
    with transaction.atomic():
        created = services.create_merchant(name=name, email=email)
        audit.record(
            actor=actor,
            action=StaffActionType.MERCHANT_CREATE,
            object_type=ObjectType.MERCHANT,
            object_id=str(created.merchant.pk),
            reason=reason,
            after={
                "name": created.merchant.name,
                "email": created.merchant.email,
                "keys": [created.test_key.api_key.hint, created.live_key.api_key.hint],
            },
        )
    return created


def set_merchant_status(*, merchant_id: UUID, status: MerchantStatus, actor: str, reason: str) -> None:
    """Raises `OperationRefused`."""
    with transaction.atomic():
        if not services.set_merchant_status(merchant_id=merchant_id, status=status):
            raise OperationRefused(_("That is so already."))
        before = {
            MerchantStatus.SUSPENDED: MerchantStatus.ACTIVE,
            MerchantStatus.ACTIVE: MerchantStatus.SUSPENDED,
        }
        audit.record(
            actor=actor,
            action=StaffActionType.MERCHANT_SUSPEND
            if status == MerchantStatus.SUSPENDED
            else StaffActionType.MERCHANT_REACTIVATE,
            object_type=ObjectType.MERCHANT,
            object_id=str(merchant_id),
            reason=reason,
            before={"status": before[status].value},
            after={"status": status.value},
        )


def rotate_key(*, key: ApiKey, overlap: dt.timedelta, actor: str, reason: str) -> Rotation:
    """Raises `KeyNotUsable`."""
    with transaction.atomic():
        rotation = services.rotate_key(
            merchant_id=key.merchant_id,
            environment=key.environment,
            key_id=key.pk,
            rotated_by=None,
            overlap=overlap,
        )
        retires_at = rotation.old.retires_at
        _record_key(
            key,
            StaffActionType.KEY_ROTATE,
            actor=actor,
            reason=reason,
            after={
                "successor": rotation.new.api_key.hint,
                "retires_at": retires_at.isoformat() if retires_at else None,
            },
        )
    return rotation


def revoke_key(*, key: ApiKey, actor: str, reason: str) -> None:
    """Also the last one: staff stop a stolen key at once. Raises `OperationRefused`."""
    with transaction.atomic():
        Merchant.objects.select_for_update(no_key=True).get(pk=key.merchant_id)
        if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=False).exists():
            raise OperationRefused(_("That is so already."))
        services.revoke_key(
            merchant_id=key.merchant_id, environment=key.environment, key_id=key.pk, allow_last=True
        )
        _record_key(key, StaffActionType.KEY_REVOKE, actor=actor, reason=reason, after={"revoked": True})


def send_test_webhook(*, endpoint_id: UUID, actor: str, reason: str) -> WebhookDelivery:
    """Raises `EndpointNotUsable`."""
    with transaction.atomic():
        delivery = endpoints.send_test_event_for_staff(endpoint_id=endpoint_id)
        audit.record(
            actor=actor,
            action=StaffActionType.ENDPOINT_TEST,
            object_type=ObjectType.ENDPOINT,
            object_id=str(endpoint_id),
            reason=reason,
            after={"delivery": str(delivery.id)},
        )
    return delivery


def _record_key(
    key: ApiKey, act: StaffActionType, *, actor: str, reason: str, after: dict[str, object]
) -> None:
    audit.record(
        actor=actor,
        action=act,
        object_type=ObjectType.API_KEY,
        object_id=str(key.pk),
        reason=reason,
        before={"key": key.hint, "merchant": str(key.merchant_id), "environment": key.environment},
        after=after,
    )
