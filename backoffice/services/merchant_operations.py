"""Staff actions on merchants, their keys and endpoints, each in one transaction with its audit log entry.

Keys and secrets are only in the return value: never in the audit log, never in a log line.
"""

import datetime as dt
from uuid import UUID

from django.utils.translation import gettext as _

from audit.action_types import ObjectType, StaffActionType
from audit.recording import recording
from common.errors import OperationRefused
from merchants import services
from merchants.models import ApiKey, Merchant, MerchantStatus
from merchants.services import NewMerchant, Rotation
from webhooks import endpoints, resending
from webhooks.models import WebhookDelivery

STATUS_CHANGES = {
    MerchantStatus.SUSPENDED: (StaffActionType.MERCHANT_SUSPEND, MerchantStatus.ACTIVE),
    MerchantStatus.ACTIVE: (StaffActionType.MERCHANT_REACTIVATE, MerchantStatus.SUSPENDED),
}


def create_merchant(*, name: str, email: str, actor: str, reason: str) -> NewMerchant:
    """Raises `EmailTaken` and `ValidationFailed`."""
    with recording(StaffActionType.MERCHANT_CREATE, ObjectType.MERCHANT, actor=actor, reason=reason) as entry:
        created = services.create_merchant(name=name, email=email)
        entry.object_id = str(created.merchant.pk)
        entry.after = {
            "name": created.merchant.name,
            "email": created.merchant.email,
            "keys": [created.test_key.api_key.hint, created.live_key.api_key.hint],
        }
    return created


def set_merchant_status(*, merchant_id: UUID, status: MerchantStatus, actor: str, reason: str) -> None:
    """Raises `OperationRefused`."""
    action, status_before = STATUS_CHANGES[status]
    before = {"status": status_before.value}
    with recording(
        action, ObjectType.MERCHANT, merchant_id, actor=actor, reason=reason, before=before
    ) as entry:
        if not services.set_merchant_status(merchant_id=merchant_id, status=status):
            raise OperationRefused(_("This has been done already. Reload the page."))
        entry.after = {"status": status.value}


def rotate_key(*, key: ApiKey, overlap: dt.timedelta, actor: str, reason: str) -> Rotation:
    """Raises `KeyNotUsable`."""
    with recording(
        StaffActionType.KEY_ROTATE, ObjectType.API_KEY, key.pk, actor=actor, reason=reason, before=_facts(key)
    ) as entry:
        rotation = services.rotate_key(
            merchant_id=key.merchant_id,
            environment=key.environment,
            key_id=key.pk,
            rotated_by=None,
            overlap=overlap,
        )
        retires_at = rotation.old.retires_at
        entry.after = {
            "successor": rotation.new.api_key.hint,
            "retires_at": retires_at.isoformat() if retires_at else None,
        }
    return rotation


def revoke_key(*, key: ApiKey, actor: str, reason: str) -> None:
    """Revokes the key even if it is the last one: staff stop a stolen key at once. Raises `OperationRefused`."""
    with recording(
        StaffActionType.KEY_REVOKE, ObjectType.API_KEY, key.pk, actor=actor, reason=reason, before=_facts(key)
    ) as entry:
        Merchant.objects.select_for_update(no_key=True).get(pk=key.merchant_id)
        if ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=False).exists():
            raise OperationRefused(_("This has been done already. Reload the page."))
        services.revoke_key(
            merchant_id=key.merchant_id, environment=key.environment, key_id=key.pk, allow_last=True
        )
        entry.after = {"revoked": True}


def send_test_webhook(*, endpoint_id: UUID, actor: str, reason: str) -> WebhookDelivery:
    """Raises `EndpointNotUsable`."""
    with recording(
        StaffActionType.ENDPOINT_TEST, ObjectType.ENDPOINT, endpoint_id, actor=actor, reason=reason
    ) as entry:
        delivery = endpoints.send_test_event_for_staff(endpoint_id=endpoint_id)
        entry.after = {"delivery": str(delivery.id)}
    return delivery


def resend_webhook(*, delivery_id: UUID, actor: str, reason: str) -> WebhookDelivery:
    """Raises `NotFound` and `EndpointNotUsable`."""
    with recording(
        StaffActionType.WEBHOOK_RESEND, ObjectType.DELIVERY, delivery_id, actor=actor, reason=reason
    ) as entry:
        delivery = resending.resend_delivery_for_staff(delivery_id=delivery_id)
        entry.after = {"status": delivery.status}
    return delivery


def _facts(key: ApiKey) -> dict[str, str]:
    return {"key": key.hint, "merchant": str(key.merchant_id), "environment": key.environment}
