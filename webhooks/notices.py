"""E-mails merchants that we disabled an endpoint of theirs. A merchant with no other endpoint would not know.

The notice becomes due in the transaction that disables the endpoint. A claim is a lease: a notice that could not be
sent is due again when it expires. It can therefore arrive twice, with the same Message-ID. No transaction is open while
the mail server is called.
"""

from datetime import timedelta
from smtplib import SMTPException
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models.functions import Now
from django.utils import translation
from django.utils.translation import gettext as _

from common.clock import rfc3339
from webhooks.models import DisabledReason, WebhookEndpoint

log = structlog.get_logger(__name__)

LEASE_DURATION = timedelta(minutes=10)
MAX_NOTICE_AGE = timedelta(days=3)


def send_due_notices() -> int:
    """Sends the due notices and returns their number. Stops at the first failure; the next run begins after that
    one."""
    sent = 0
    while settings.EMAIL_URL and (endpoint := _claim_notice()):
        try:
            _build_notice(endpoint).send()
        except (SMTPException, OSError) as error:
            log.warning("webhook_endpoint.notice_failed", endpoint_id=str(endpoint.id), error=str(error))
            break
        WebhookEndpoint.objects.filter(id=endpoint.id, disabled_at=endpoint.disabled_at).update(
            notice_due_at=None, notice_sent_at=Now()
        )
        log.info("webhook_endpoint.notice_sent", endpoint_id=str(endpoint.id))
        sent += 1
    return sent


@transaction.atomic(durable=True)
def _claim_notice() -> WebhookEndpoint | None:
    due = WebhookEndpoint.objects.filter(
        notice_due_at__lte=Now(), disabled_at__gt=Now() - MAX_NOTICE_AGE
    ).select_related("merchant")
    locked = due.select_for_update(skip_locked=True, no_key=True, of=("self",))
    endpoint = locked.order_by("notice_due_at").first()
    if endpoint is not None:
        WebhookEndpoint.objects.filter(id=endpoint.id).update(notice_due_at=Now() + LEASE_DURATION)
    return endpoint


def _build_notice(endpoint: WebhookEndpoint) -> EmailMessage:
    """Writes the text in every language, because a merchant has none set. Names only the host of the address: the rest
    may hold a token."""
    subjects, bodies = [], []
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            subjects.append(_("One of your webhook endpoints was disabled"))
            bodies.append(
                _(
                    "Your webhook endpoint %(id)s at %(host)s (%(environment)s) was disabled at %(at)s: %(reason)s.\n\n"
                    "It receives nothing until you enable it: PATCH /api/v1/webhook-endpoints/%(id)s with "
                    '{"status": "enabled"}. Its pending deliveries then continue. To receive the events that happened '
                    "in the meantime, use POST /api/v1/webhook-endpoints/%(id)s/resend."
                )
                % {
                    "id": endpoint.id,
                    "host": urlsplit(endpoint.url).hostname,
                    "environment": endpoint.get_environment_display(),
                    "at": rfc3339(endpoint.disabled_at),
                    "reason": DisabledReason(endpoint.disabled_reason).label,
                }
            )
    occurrence = f"{endpoint.id}.{endpoint.disabled_at:%Y%m%d%H%M%S}"
    return EmailMessage(
        " / ".join(subjects),
        "\n\n".join(bodies),
        to=[endpoint.merchant.email],
        headers={
            "Message-ID": f"<{occurrence}@{urlsplit(settings.PUBLIC_BASE_URL).hostname}>",
            "Auto-Submitted": "auto-generated",
        },
    )
