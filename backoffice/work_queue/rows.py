"""Items of the work queue as the page shows them: the reason in words, the age, and the recommended action."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.approvals import decisions
from backoffice.approvals.models import Approval, ApprovalState
from backoffice.payment_actions import PAYMENT_ACTIONS
from backoffice.renderers.saga_labels import format_duration
from backoffice.renderers.saga_recommendation import recommend_operation
from backoffice.services import saga_inspection
from backoffice.services.late_payments import PaymentReviewOperation
from backoffice.work_queue.models import ItemKind
from backoffice.work_queue.open_items import OpenItem
from backoffice.work_queue.sources import CLAIMED, IN_REVIEW, OVERDUE, STUCK
from common.admin import money_text
from common.admin_labels import label_of
from gateway.admin.review_reasons import show_review_reason
from gateway.models import DisputeReason, DisputeStatus, PaymentReview, ReviewCode
from sagas.availability import MEANINGS
from sagas.inspection import SagaView
from settlements.models import CaseKind
from staff.roles import Permission, has_permission
from webhooks.models import DisabledReason

ICONS: Mapping[ItemKind, str] = {
    ItemKind.PAYMENT: "payments",
    ItemKind.REFUND: "undo",
    ItemKind.SAGA: "account_tree",
    ItemKind.APPROVAL: "how_to_reg",
    ItemKind.DISPUTE: "gavel",
    ItemKind.ENDPOINT: "link_off",
    ItemKind.SETTLEMENT_CASE: "rule_folder",
    ItemKind.PAYOUT_RUN: "send_money",
    ItemKind.PAYOUT: "output",
    ItemKind.BANK_ACCOUNT: "account_balance_wallet",
}
# The page of an item: the name of its address.
PAGES: Mapping[ItemKind, str] = {
    ItemKind.PAYMENT: "admin:gateway_payment_change",
    ItemKind.REFUND: "admin:gateway_payment_change",
    ItemKind.SAGA: "admin:sagas_sagainstance_change",
    ItemKind.APPROVAL: "admin:approvals_approval_change",
    ItemKind.DISPUTE: "admin:gateway_dispute_change",
    ItemKind.ENDPOINT: "admin:webhooks_webhookendpoint_change",
    ItemKind.SETTLEMENT_CASE: "admin:settlements_settlementcase_change",
    ItemKind.PAYOUT_RUN: "admin:payouts_payoutrun_change",
    ItemKind.PAYOUT: "admin:payouts_payout_change",
    ItemKind.BANK_ACCOUNT: "admin:payouts_bankaccount_change",
}
RECOMMENDED_FOR_REVIEW: Mapping[str, str] = {
    ReviewCode.LATE_PAYMENT: PaymentReviewOperation.REFUND_LATE_PAYMENT.value,
    ReviewCode.DUPLICATE_PAYMENT: PaymentReviewOperation.REFUND_LATE_PAYMENT.value,
    ReviewCode.REFUND_FAILED: PaymentReviewOperation.REFUND_LATE_PAYMENT.value,
    ReviewCode.REFUND_OUTCOME: PaymentReviewOperation.RESOLVE.value,
    ReviewCode.CHANNEL_REFUND: PaymentReviewOperation.CHARGE_SUSPENSE.value,
    ReviewCode.DISPUTE_EXCESS: PaymentReviewOperation.CHARGE_SUSPENSE.value,
}
URGENT = dt.timedelta(days=2)
OLD = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RecommendedAction:
    """A link to the page of the action; `why` says why it is recommended."""

    label: str
    url: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """`key` names the item in the form, with the assignee that the person sees. `detail` explains a
    review, a saga or a dispute; the reason of the others is in `item.reason`, as people wrote it."""

    item: OpenItem
    key: str
    icon: str
    url: str
    amount: str
    reason: str
    detail: str
    age: str
    due: str
    tone: str
    action: RecommendedAction | None


def build_rows(items: Sequence[OpenItem], user: Any) -> list[QueueRow]:
    saga_ids = [item.object_id for item in items if item.kind is ItemKind.SAGA]
    sagas = {saga.id: saga for saga in saga_inspection.load_sagas(ids=saga_ids)} if saga_ids else {}
    pending = decisions.pending_approvals().filter(saga_id__in=saga_ids)
    approvals = dict(pending.values_list("saga_id", "id")) if saga_ids else {}
    details = _load_review_reasons(items) | _explain_sagas(sagas.values())
    details |= {
        item.object_id: str(label_of(DisputeReason, item.reason))
        for item in items
        if item.kind is ItemKind.DISPUTE
    }
    return [
        _build_row(
            item,
            details.get(item.object_id, ""),
            sagas.get(item.object_id),
            approvals.get(item.object_id),
            user,
        )
        for item in items
    ]


def _load_review_reasons(items: Sequence[OpenItem]) -> dict[UUID, str]:
    """In the reader's language, by the id of the review."""
    kinds = (ItemKind.PAYMENT, ItemKind.REFUND)
    ids = [item.object_id for item in items if item.kind in kinds and item.code != OVERDUE]
    reviews = PaymentReview.objects.filter(id__in=ids) if ids else ()
    return {review.id: show_review_reason(review) for review in reviews}


def _explain_sagas(sagas: Iterable[SagaView]) -> dict[UUID, str]:
    """Why the recommended operation comes first. The error itself, in the words of a program, is on the saga's page."""
    return {saga.id: found.why for saga in sagas if (found := recommend_operation(saga)) is not None}


def _build_row(
    item: OpenItem, detail: str, saga: SagaView | None, approval_id: UUID | None, user: Any
) -> QueueRow:
    age = item.seen_at - item.since
    left = item.due_at - item.seen_at if item.due_at else None
    is_urgent = left is not None and left < URGENT
    return QueueRow(
        item=item,
        key=f"{item.kind.value}:{item.object_id}:{item.assignee}",
        icon=ICONS[item.kind],
        url=reverse(PAGES[item.kind], args=[item.page_id]),
        amount=money_text(item.amount_minor, item.currency) if item.amount_minor and item.currency else "",
        reason=_describe_reason(item, saga),
        detail=detail,
        age=format_duration(max(age, dt.timedelta())),
        due=_describe_due(left) if left is not None else "",
        tone="danger" if is_urgent else "warning" if age > OLD else "neutral",
        action=_recommend_decision(approval_id, user) if approval_id else _recommend(item, saga, user),
    )


def _describe_due(left: dt.timedelta) -> str:
    if left < dt.timedelta():
        return _("overdue by %(span)s") % {"span": format_duration(-left)}
    return _("due in %(span)s") % {"span": format_duration(left)}


def _describe_reason(item: OpenItem, saga: SagaView | None) -> str:
    match item.kind:
        case ItemKind.PAYMENT if item.code == OVERDUE:
            return _("Past its time and still open")
        case ItemKind.PAYMENT | ItemKind.REFUND:
            return str(ReviewCode(item.code).label)
        case ItemKind.SAGA:
            return _describe_saga(item, saga)
        case ItemKind.APPROVAL:
            operation = Approval(operation=item.code, state=ApprovalState.PENDING).get_operation_display()
            return _("Waiting for approval: %(operation)s") % {"operation": operation}
        case ItemKind.DISPUTE:
            return str(DisputeStatus(item.code).label)
        case ItemKind.ENDPOINT:
            return str(DisabledReason(item.code).label)
        case ItemKind.SETTLEMENT_CASE:
            return str(CaseKind(item.code).label)
        case ItemKind.PAYOUT_RUN | ItemKind.BANK_ACCOUNT:
            return _("Awaiting approval")
        case ItemKind.PAYOUT if item.code == CLAIMED:
            return _("Failed or returned: a second person must confirm it")
        case ItemKind.PAYOUT:
            return _("Sent, and not confirmed by the bank")


def _describe_saga(item: OpenItem, saga: SagaView | None) -> str:
    if item.code == STUCK:
        return _("Due for over a minute, claimed by no worker")
    assert item.code == IN_REVIEW
    if saga is None or saga.current is None:
        return _("The saga stopped")
    return _("%(definition)s stopped at %(step)s") % {
        "definition": saga.definition,
        "step": saga.current.name,
    }


def _recommend(item: OpenItem, saga: SagaView | None, user: Any) -> RecommendedAction | None:
    match item.kind:
        case ItemKind.PAYMENT | ItemKind.REFUND:
            return _recommend_for_payment(item, user)
        case ItemKind.SAGA:
            return _recommend_for_saga(saga, user)
        case ItemKind.APPROVAL:
            return _recommend_decision(item.object_id, user)
        case ItemKind.DISPUTE:
            return _recommend_for_dispute(item)
        case ItemKind.ENDPOINT:
            if item.merchant_email:
                why = _("Only the merchant can enable it again, after it answers.")
                return RecommendedAction(_("E-mail the merchant"), f"mailto:{item.merchant_email}", why)
        case ItemKind.SETTLEMENT_CASE:
            return RecommendedAction(_("Compare and decide"), reverse(PAGES[item.kind], args=[item.page_id]))
        case ItemKind.PAYOUT_RUN | ItemKind.BANK_ACCOUNT:
            if has_permission(user, Permission.APPROVE):
                return RecommendedAction(_("Decide"), reverse(PAGES[item.kind], args=[item.page_id]))
        case ItemKind.PAYOUT if item.code == CLAIMED:
            why = _("Compare with the bank's report, and record the same status, reason and fee.")
            return RecommendedAction(_("Open"), reverse(PAGES[item.kind], args=[item.page_id]), why)
        case ItemKind.PAYOUT:
            why = _("Ask the bank, and record its answer.")
            return RecommendedAction(_("Open"), reverse(PAGES[item.kind], args=[item.page_id]), why)
    return None


def _recommend_decision(approval_id: UUID, user: Any) -> RecommendedAction | None:
    if not has_permission(user, Permission.APPROVE):
        return None
    return RecommendedAction(_("Decide"), reverse(PAGES[ItemKind.APPROVAL], args=[approval_id]))


def _recommend_for_payment(item: OpenItem, user: Any) -> RecommendedAction | None:
    name = RECOMMENDED_FOR_REVIEW.get(item.code, "sync")
    action = next(each for each in PAYMENT_ACTIONS if each.name == name)
    if not has_permission(user, action.permission):
        return None
    url = reverse(f"admin:gateway_payment_{name}", args=[item.page_id])
    return RecommendedAction(str(action.label), url, str(action.description))


def _recommend_for_saga(saga: SagaView | None, user: Any) -> RecommendedAction | None:
    found = recommend_operation(saga) if saga is not None else None
    if found is None or saga is None or not has_permission(user, Permission.OPERATE):
        return None
    address = reverse("admin:sagas_sagainstance_operate", args=[found.operation.value])
    why = f"{found.why} {MEANINGS[found.operation]}"
    return RecommendedAction(str(found.operation.label), f"{address}?id={saga.id}", why)


def _recommend_for_dispute(item: OpenItem) -> RecommendedAction:
    url = reverse(PAGES[ItemKind.DISPUTE], args=[item.page_id])
    if item.code == DisputeStatus.NEEDS_RESPONSE:
        return RecommendedAction(
            _("Answer"), url, _("Its page shows the due date and the draft of the response.")
        )
    return RecommendedAction(_("Read the outcome"), url)
