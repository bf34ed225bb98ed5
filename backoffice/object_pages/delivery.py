"""The page of a webhook delivery: the request, each attempt with its answer, and the resend."""

from django.urls import reverse
from django.utils.translation import gettext as _

from backoffice.page_parts import (
    ObjectPage,
    PageFact,
    PageNote,
    Panel,
    StatusBadge,
    TextBlock,
    build_merchant_fact,
)
from backoffice.renderers.redaction import redacted_json
from backoffice.renderers.saga_labels import format_milliseconds
from common.list_columns import show_moment
from events import cloudevents
from merchants.models import Environment, Merchant
from webhooks.models import AttemptOutcome, DeliveryStatus, EndpointStatus, WebhookAttempt, WebhookDelivery

TONES = {
    DeliveryStatus.PENDING: "info",
    DeliveryStatus.DELIVERED: "success",
    DeliveryStatus.FAILED: "danger",
    DeliveryStatus.CANCELLED: "warning",
}
MAX_ATTEMPTS = 50


def find_resend_obstacle(delivery: WebhookDelivery) -> str:
    endpoint = delivery.endpoint
    if endpoint.status != EndpointStatus.ENABLED:
        return _("The status of this endpoint is: %(status)s.") % {"status": endpoint.get_status_display()}
    return ""


def build_delivery_page(delivery: WebhookDelivery) -> ObjectPage:
    event, endpoint = delivery.event, delivery.endpoint
    attempts = list(WebhookAttempt.objects.filter(delivery=delivery).order_by("-fence")[:MAX_ATTEMPTS])
    merchant = Merchant.objects.filter(pk=delivery.merchant_id).only("name").first()
    facts = [
        build_merchant_fact(delivery.merchant_id, merchant.name if merchant else str(delivery.merchant_id)),
        PageFact(
            _("endpoint"),
            delivery.callback_url or endpoint.url,
            reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.pk]),
        ),
        PageFact(_("related number"), event.ordering_key, f"{reverse('admin_find')}?q={event.ordering_key}"),
        PageFact(_("event id"), str(event.event_id), is_code=True),
        PageFact(_("created at"), show_moment(delivery.created_at)),
    ]
    if delivery.due_at:
        facts.append(PageFact(_("next attempt"), show_moment(delivery.due_at)))
    return ObjectPage(
        heading=event.type,
        state=StatusBadge(delivery.get_status_display(), TONES[DeliveryStatus(delivery.status)]),
        is_test=delivery.environment == Environment.TEST,
        notes=_list_notes(delivery, attempts),
        facts=facts,
        panels=[_attempt_panel(attempts)],
        blocks=_list_blocks(delivery, attempts),
    )


def _list_notes(delivery: WebhookDelivery, attempts: list[WebhookAttempt]) -> list[PageNote]:
    last = attempts[0] if attempts else None
    if delivery.status == DeliveryStatus.DELIVERED or last is None:
        return []
    if last.outcome == AttemptOutcome.IN_FLIGHT:
        return []
    detail = last.error or (f"HTTP {last.status_code}" if last.status_code is not None else "")
    return [PageNote(f"{last.get_outcome_display()}:", detail or "—", TONES[DeliveryStatus(delivery.status)])]


def _attempt_panel(attempts: list[WebhookAttempt]) -> Panel:
    return Panel(
        title=_("Attempts"),
        columns=(_("started at"), _("outcome"), _("HTTP status"), _("duration"), _("error")),
        rows=[
            (
                show_moment(attempt.started_at),
                attempt.get_outcome_display(),
                str(attempt.status_code or "—"),
                format_milliseconds(attempt.duration_ms) if attempt.duration_ms is not None else "—",
                attempt.error or "—",
            )
            for attempt in attempts
        ],
        empty_text=_("Not sent yet."),
        links=[reverse("admin:webhooks_webhookattempt_change", args=[attempt.pk]) for attempt in attempts],
    )


def _list_blocks(delivery: WebhookDelivery, attempts: list[WebhookAttempt]) -> list[TextBlock]:
    """The body as it was sent; the signature is not stored."""
    blocks = [TextBlock(_("Request body"), redacted_json(cloudevents.to_structured_mode(delivery.event)))]
    last = attempts[0] if attempts else None
    if last is not None and (last.response_headers or last.response_body):
        headers = "\n".join(f"{name}: {value}" for name, value in last.response_headers.items())
        blocks.append(TextBlock(_("Last answer"), f"{headers}\n\n{last.response_body}".strip()))
    return blocks
