"""The permissions of staff in the back office, and the five roles that hold them (ADR 8).

The groups in the database are made equal to this file after every `migrate` (groups.py). So a role changes by a
reviewed commit, and is the same everywhere.
"""

import enum
from collections.abc import Mapping
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin


class Permission(enum.StrEnum):
    """One permission for each operation. To view an object, Django's own view permission of its model is needed."""

    REFUND = "staff.refund_payment"
    CANCEL = "staff.cancel_payment"
    CAPTURE = "staff.capture_payment"
    SYNC = "staff.sync_payment"
    OPERATE = "sagas.operate_sagainstance"
    RESOLVE = "staff.resolve_saga"
    APPROVE = "staff.approve_operation"
    EXPORT = "staff.export_rows"
    HANDLE_WORK_ITEMS = "staff.handle_work_items"
    TEST_ENDPOINT = "staff.test_endpoint"
    RESEND_WEBHOOK = "staff.resend_webhook"
    SETTLE = "staff.settle_statements"
    MANAGE_ROUTING = "staff.manage_routing"
    MANAGE_FEES = "staff.manage_fees"
    MANAGE_MERCHANTS = "staff.manage_merchants"
    MANAGE_KEYS = "staff.manage_keys"
    MANAGE_CHANNEL_ACCOUNTS = "staff.manage_channel_accounts"
    ANSWER_DISPUTES = "staff.answer_disputes"
    MANAGE_PAYOUTS = "staff.manage_payouts"
    MANAGE_STAFF = "staff.manage_staff"


class Role(enum.StrEnum):
    """The names of the groups."""

    VIEWER = "Viewer"
    SUPPORT = "Support"
    FINANCE = "Finance"
    OPERATOR = "Operator"
    ADMIN = "Admin"


def has_permission(user: AbstractBaseUser | AnonymousUser | PermissionsMixin, permission: Permission) -> bool:
    return bool(user.has_perm(permission.value))  # type: ignore[union-attr]


def _view_permissions(*models: str) -> frozenset[str]:
    """`gateway.payment` becomes `gateway.view_payment`."""
    return frozenset(model.replace(".", ".view_") for model in models)


_PAYMENTS = _view_permissions(
    "gateway.payment",
    "gateway.paymentattempt",
    "gateway.capture",
    "gateway.authorizationincrement",
    "gateway.refund",
    "gateway.dispute",
    "gateway.disputeresponse",
    "gateway.evidencefile",
    "gateway.suspenseitem",
    "gateway.paymentreview",
    "gateway.channelevent",
    "gateway.routingrule",
    "ledger.ledgertransfer",
    "ledger.dailyclose",
    "settlements.statementfile",
    "settlements.statementline",
    "settlements.statementexpectation",
    "settlements.settlementcase",
    "settlements.settlementday",
    "settlements.channelfeerate",
    "payouts.payout",
    "payouts.payoutrun",
    "payouts.payoutplan",
    "payouts.bankaccount",
    "fees.feeplanchange",
    "fees.feeplanversion",
    "fees.feeplanassignment",
    "fees.merchantstatement",
    "orders.order",
    "orders.orderitem",
    "sagas.sagainstance",
    "sagas.sagastep",
    "sagas.sagaevent",
    "sagas.sagasignal",
    "events.outboxevent",
    "webhooks.webhookendpoint",
    "webhooks.webhookdelivery",
    "webhooks.webhookattempt",
    "merchants.merchant",
    "channel_accounts.storedchannelaccount",
    "monitoring.consistencyrun",
    "monitoring.consistencyresult",
)
_REQUESTS = _view_permissions("idempotency.idempotencykey", "merchants.apikey")
_MACHINERY = _view_permissions(
    "merchants.requestnonce",
    "simulator.simulatedpayment",
    "simulator.simulatedrefund",
    "simulator.simulateddispute",
    "simulator.simulatedevidencefile",
    "simulator.ledgerentry",
    "simulator.notification",
    "simulator.callcount",
)
_PEOPLE = _view_permissions("audit.staffaction", "auth.user", "auth.group")
_EXPORTS = _view_permissions("exports.export", "reports.reportschedule", "reports.reportrun")
_APPROVALS = _view_permissions("approvals.approval")

_VIEWER = _PAYMENTS
_SUPPORT = (
    _VIEWER
    | _REQUESTS
    | {
        Permission.SYNC,
        Permission.CANCEL,
        Permission.TEST_ENDPOINT,
        Permission.RESEND_WEBHOOK,
        Permission.HANDLE_WORK_ITEMS,
    }
)
_FINANCE = (
    _VIEWER
    | _EXPORTS
    | _APPROVALS
    | {
        Permission.SYNC,
        Permission.CAPTURE,
        Permission.REFUND,
        Permission.SETTLE,
        Permission.APPROVE,
        Permission.ANSWER_DISPUTES,
        Permission.MANAGE_PAYOUTS,
        Permission.EXPORT,
        Permission.MANAGE_FEES,
        Permission.HANDLE_WORK_ITEMS,
    }
)
_OPERATOR = (
    _VIEWER
    | _REQUESTS
    | _MACHINERY
    | _APPROVALS
    | {
        Permission.SYNC,
        Permission.OPERATE,
        Permission.RESOLVE,
        Permission.APPROVE,
        Permission.TEST_ENDPOINT,
        Permission.RESEND_WEBHOOK,
        Permission.MANAGE_ROUTING,
        Permission.HANDLE_WORK_ITEMS,
    }
)
_ADMIN = _VIEWER | _REQUESTS | _MACHINERY | _PEOPLE | _EXPORTS | _APPROVALS | frozenset(Permission)

ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[str]]] = {
    Role.VIEWER: _VIEWER,
    Role.SUPPORT: _SUPPORT,
    Role.FINANCE: _FINANCE,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _ADMIN,
}
