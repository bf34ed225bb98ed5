"""The page of an approval: what was requested and why, the object as it is now, and who decided."""

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from backoffice.approvals.decisions import VALID_FOR
from backoffice.approvals.models import Approval, ApprovalState
from backoffice.page_parts import ObjectPage, PageFact, PageNote, Panel, StatusBadge
from backoffice.renderers.saga_labels import describe_progress, describe_wait
from backoffice.saga_forms import ReasonCode
from common.admin import money_text
from common.admin_labels import label_of
from common.list_columns import show_moment
from common.time_zones import format_exactly
from gateway.models import Payment
from sagas.inspection import SagaView

TONES = {
    ApprovalState.PENDING: "warning",
    ApprovalState.APPROVED: "success",
    ApprovalState.REJECTED: "danger",
    ApprovalState.STALE: "neutral",
    ApprovalState.EXPIRED: "neutral",
}


def build_approval_page(approval: Approval, subject: Payment | SagaView | None) -> ObjectPage:
    """`subject` is the payment or saga as it is now; None when it is not known any more."""
    state = ApprovalState(approval.state)
    has_amount = approval.amount_minor and approval.currency
    return ObjectPage(
        heading=money_text(approval.amount_minor, approval.currency)
        if has_amount
        else approval.get_operation_display(),
        state=StatusBadge(str(state.label), TONES[state]),
        notes=[PageNote(_("Requested: %(operation)s") % {"operation": approval.get_operation_display()})],
        facts=_list_request(approval),
        panels=[_subject_panel(approval, subject), _decision_panel(approval)],
    )


def _list_request(approval: Approval) -> list[PageFact]:
    facts = [
        PageFact(_("requested by"), approval.requested_by, is_name=True),
        PageFact(_("requested at"), show_moment(approval.requested_at)),
        PageFact(_("reason"), approval.reason, is_name=True),
    ]
    if approval.reason_code:
        facts.append(PageFact(_("reason code"), str(label_of(ReasonCode, approval.reason_code))))
    if approval.ticket:
        facts.append(PageFact(_("ticket"), approval.ticket, is_name=True))
    if approval.result:
        facts.append(PageFact(_("result of the step"), approval.result, is_name=True))
    return facts


def _subject_panel(approval: Approval, subject: Payment | SagaView | None) -> Panel:
    if isinstance(subject, Payment):
        rows = [
            (
                subject.payment_no,
                subject.get_status_display(),
                money_text(subject.amount_minor, subject.currency),
                money_text(subject.captured_minor, subject.currency),
                money_text(subject.refunded_minor, subject.currency),
                money_text(subject.refundable_minor, subject.currency),
            )
        ]
        columns = (_("payment"), _("status"), _("amount"), _("captured"), _("refunded"), _("refundable"))
        links = [reverse("admin:gateway_payment_change", args=[subject.pk])]
        return Panel(_("The payment now"), columns, rows, links=links)
    if isinstance(subject, SagaView):
        progress, state = describe_progress(subject), describe_wait(subject)
        rows_of_saga = [
            (f"{subject.definition} {subject.business_id}", str(subject.status.label), progress, state)
        ]
        return Panel(
            _("The saga now"),
            (_("saga"), _("status"), _("steps"), _("state")),
            rows_of_saga,
            links=[reverse("admin:sagas_sagainstance_change", args=[subject.id])],
        )
    url = f"{reverse('admin_find')}?{urlencode({'q': approval.business_id})}"
    return Panel(_("Subject of the request"), (_("business id"),), [(approval.business_id,)], links=[url])


def _decision_panel(approval: Approval) -> Panel:
    rows = []
    if approval.decided_at:
        who = approval.decided_by or _("the platform")
        rows.append((who, approval.get_state_display(), show_moment(approval.decided_at)))
    until = format_exactly(approval.requested_at + VALID_FOR)
    return Panel(
        _("Decision"),
        (_("decided by"), _("decision"), _("decided at")),
        rows,
        empty_text=_("Another person decides until %(moment)s.") % {"moment": until},
    )
