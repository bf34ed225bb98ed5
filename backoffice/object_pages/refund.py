"""The page of a refund."""

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.approvals.models import REFUND, Approval
from backoffice.page_parts import ObjectPage, PageFact, PageNote, Panel, StatusBadge, build_merchant_fact
from backoffice.renderers.saga_labels import format_duration
from backoffice.timeline.refunds import TONES
from backoffice.timeline.registry import Tone
from common.admin import money_text
from gateway.failure_codes import describe_failure
from gateway.models import Refund, RefundStatus
from merchants.models import Environment
from sagas.models import SagaInstance
from sagas.stop_reasons import describe_stop_reason


def build_refund_page(refund: Refund) -> ObjectPage:
    payment, currency = refund.payment, refund.currency
    status = RefundStatus(refund.status)
    return ObjectPage(
        heading=money_text(refund.amount_minor, currency),
        state=StatusBadge(str(status.label), TONES.get(status, Tone.INFO)),
        is_test=refund.environment == Environment.TEST,
        notes=_list_notes(refund),
        facts=_list_facts(refund),
        amounts=[
            (_("captured"), money_text(payment.captured_minor, currency)),
            (_("this refund"), money_text(refund.amount_minor, currency)),
            (_("refunded in all"), money_text(payment.refunded_minor, currency)),
            (_("refund pending"), money_text(payment.refund_pending_minor, currency)),
            (_("refundable"), money_text(payment.refundable_minor, currency)),
        ],
        panels=[_saga_panel(refund)],
    )


def _list_notes(refund: Refund) -> list[PageNote]:
    notes = []
    if refund.failure_code:
        failure = describe_failure(refund.failure_code, refund.failure_message)
        notes.append(PageNote(_("Refund failed:"), failure, Tone.DANGER))
    if refund.contradicted_at:
        before = RefundStatus(refund.previous_status).label if refund.previous_status else ""
        notes.append(
            PageNote(_("The channel corrected the outcome, which was:"), str(before) or "—", Tone.WARNING)
        )
    if refund.late_refunded_minor:
        amount = money_text(refund.late_refunded_minor, refund.currency)
        notes.append(PageNote(_("Refunded by the channel after all:"), amount, Tone.WARNING))
    return notes


def _list_facts(refund: Refund) -> list[PageFact]:
    facts = [
        PageFact(
            _("payment"),
            refund.payment.payment_no,
            reverse("admin:gateway_payment_change", args=[refund.payment_id]),
        ),
        build_merchant_fact(refund.merchant_id, refund.merchant.name),
        PageFact(_("refund number"), refund.refund_no, is_code=True),
        PageFact(_("requested by"), refund.get_origin_display()),
        PageFact(_("reason"), refund.reason or "—", is_name=True),
        PageFact(_("channel"), refund.channel or refund.payment.channel, is_name=True),
    ]
    facts += _list_approval(refund)
    if refund.channel_refund_no:
        facts.append(PageFact(_("channel's refund number"), refund.channel_refund_no, is_code=True))
    if refund.settled_at:
        facts.append(PageFact(_("settled after"), format_duration(refund.settled_at - refund.created_at)))
    return facts


def _list_approval(refund: Refund) -> list[PageFact]:
    """Of a refund above the limit of dual control. The request reserves the refund's id."""
    approval = Approval.objects.filter(operation=REFUND, saga_id=refund.pk, decided_at__isnull=False).first()
    if approval is None:
        return []
    url = reverse("admin:approvals_approval_change", args=[approval.pk])
    return [
        PageFact(_("requested by"), approval.requested_by, is_name=True),
        PageFact(_("decided by"), approval.decided_by, url),
    ]


def _saga_panel(refund: Refund) -> Panel:
    sagas = list(SagaInstance.objects.filter(business_id=refund.refund_no).order_by("-created_at")[:20])
    return Panel(
        title=_("Sagas"),
        columns=(_("saga"), _("status"), _("needs review")),
        rows=[
            (
                saga.definition,
                saga.get_status_display(),
                describe_stop_reason(saga.attention_reason) if saga.needs_attention else "—",
            )
            for saga in sagas
        ],
        empty_text=_(
            "No saga: the refund was made at the channel, or its saga was deleted after the retention."
        ),
        links=[reverse("admin:sagas_sagainstance_change", args=[saga.pk]) for saga in sagas],
    )
