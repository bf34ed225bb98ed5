"""The page of a dispute."""

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.page_parts import ObjectPage, PageFact, PageNote, Panel, StatusBadge, build_merchant_fact
from common.admin import money_text
from common.list_columns import show_moment
from common.time_zones import format_exactly
from gateway.admin.disputes import DISPUTE_COLOURS
from gateway.failure_codes import describe_failure
from gateway.models import Dispute, DisputeStatus, ResponseStatus
from gateway.services.dispute_evidence import find_evidence_rules
from merchants.models import Environment


def build_dispute_page(dispute: Dispute) -> ObjectPage:
    payment, status = dispute.payment, DisputeStatus(dispute.status)
    due = show_moment(dispute.evidence_due_by) if dispute.evidence_due_by else "—"
    deadline = format_exactly(dispute.evidence_due_by) if dispute.evidence_due_by else "—"
    notes = []
    if status is DisputeStatus.NEEDS_RESPONSE:
        is_answered_here = find_evidence_rules(dispute) is not None
        text = (
            _("Evidence is due by:")
            if is_answered_here
            else _("This channel takes responses only on its own pages. Evidence is due by:")
        )
        notes.append(PageNote(text, deadline, "danger"))
    if dispute.is_inquiry:
        notes.append(
            PageNote(_("An inquiry: the bank has taken no money, and a refund settles it."), "", "info")
        )
    return ObjectPage(
        heading=money_text(dispute.amount_minor, dispute.currency),
        state=StatusBadge(str(status.label), DISPUTE_COLOURS.get(status, "neutral")),
        is_test=dispute.environment == Environment.TEST,
        notes=notes,
        facts=[
            PageFact(
                _("payment"), payment.payment_no, reverse("admin:gateway_payment_change", args=[payment.pk])
            ),
            build_merchant_fact(dispute.merchant_id, dispute.merchant.name),
            PageFact(_("dispute number"), dispute.dispute_no, is_code=True),
            PageFact(_("channel"), dispute.channel, is_name=True),
            PageFact(_("channel's number"), dispute.channel_dispute_no, is_code=True),
            PageFact(_("stage"), dispute.get_stage_display(), is_name=True),
            PageFact(_("reason"), dispute.get_reason_display(), is_name=True),
            PageFact(_("the channel's reason"), dispute.channel_reason or "—", is_code=True),
            PageFact(_("evidence due by"), due),
            PageFact(_("opened at"), show_moment(dispute.created_at)),
        ],
        amounts=[
            (_("captured"), money_text(payment.captured_minor, payment.currency)),
            (_("refunded"), money_text(payment.refunded_minor, payment.currency)),
            (_("disputed"), money_text(payment.disputed_minor, payment.currency)),
            (_("in suspense"), money_text(dispute.suspense_minor, dispute.currency)),
            (_("refundable"), money_text(payment.refundable_minor, payment.currency)),
        ],
        panels=[_build_responses_panel(dispute)],
    )


def _build_responses_panel(dispute: Dispute) -> Panel:
    responses = list(dispute.responses.prefetch_related("files").order_by("-created_at")[:20])
    return Panel(
        title=_("Responses"),
        columns=(_("response"), _("status"), _("texts"), _("files"), _("submitted by"), _("failure")),
        rows=[
            (
                str(response.get_kind_display()),
                str(ResponseStatus(response.status).label),
                ", ".join(sorted(response.texts)) or "—",
                ", ".join(sorted(file.field for file in response.files.all())) or "—",
                response.submitted_by or "—",
                describe_failure(response.failure_code, response.failure_message)
                if response.failure_code
                else "—",
            )
            for response in responses
        ],
        empty_text=_("Nobody has written a response yet."),
        links=[reverse("admin:gateway_disputeresponse_change", args=[each.pk]) for each in responses],
    )
