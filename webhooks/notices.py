"""Tells merchants by e-mail that we disabled an endpoint of theirs: who has no other would not hear of it.

That a notice is due is written with the disabling. A claim is a lease, so what was not sent is due again when that
ends, and may come twice, under the same Message-ID. No transaction is open while the mail server is talked to.
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

LEASE = timedelta(minutes=10)
GIVEN_UP_AFTER = timedelta(days=3)


def send_due() -> int:
    """Answers how many were sent. One that fails ends this round: the next one begins behind it."""
    sent = 0
    while settings.EMAIL_URL and (endpoint := _claim()):
        try:
            _message(endpoint).send()
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
def _claim() -> WebhookEndpoint | None:
    due = WebhookEndpoint.objects.filter(
        notice_due_at__lte=Now(), disabled_at__gt=Now() - GIVEN_UP_AFTER
    ).select_related("merchant")
    locked = due.select_for_update(skip_locked=True, no_key=True, of=("self",))
    endpoint = locked.order_by("notice_due_at").first()
    if endpoint is not None:
        WebhookEndpoint.objects.filter(id=endpoint.id).update(notice_due_at=Now() + LEASE)
    return endpoint


def _message(endpoint: WebhookEndpoint) -> EmailMessage:
    """In every language, since we know of no merchant which it reads. Of the address the host alone: there may be a
    token in it."""
    subjects, bodies = [], []
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            subjects.append(_("A webhook endpoint of yours was disabled"))
            bodies.append(
                _(
                    "Your webhook endpoint %(id)s at %(host)s (%(environment)s) was disabled at %(at)s: %(reason)s.\n\n"
                    "It is told nothing more until you enable it: PATCH /api/v1/webhook-endpoints/%(id)s with "
                    '{"status": "enabled"}. What waits for it then goes on. What happened meanwhile you can have '
                    "sent with POST /api/v1/webhook-endpoints/%(id)s/resend."
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
