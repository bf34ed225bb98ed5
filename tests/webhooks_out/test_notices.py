"""The e-mail about a disabled endpoint is sent at least once and delays nothing else."""

import datetime as dt
from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.models.functions import Now

from merchants.services import NewMerchant
from tests.support.mail import MailServer
from tests.support.receiver import Receiver, WebhookResponse
from tests.support.shop import Body, data, opened
from tests.support.signing import SignedClient
from tests.support.webhooks import ENDPOINTS, deliver_due, endpoint_row, registered
from webhooks.models import WebhookEndpoint
from webhooks.tasks import send_disabled_endpoint_emails

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "simulator"])


@pytest.fixture
def mail(settings) -> Iterator[MailServer]:
    with MailServer() as server:
        settings.EMAIL_URL, settings.EMAIL_HOST, settings.EMAIL_PORT = server.url, server.host, server.port
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        yield server


def disable_endpoint(client: SignedClient, receiver: Receiver) -> Body:
    """Registers the merchant's only endpoint, which is then disabled because it answers 410."""
    receiver.respond = lambda _webhook: WebhookResponse(410)
    endpoint = registered(client, receiver.url("/hook/address-with-a-token"))
    opened(client)
    deliver_due()
    return endpoint


def expire_leases() -> None:
    WebhookEndpoint.objects.exclude(notice_due_at=None).update(notice_due_at=Now())


def test_the_merchant_gets_one_email(
    client: SignedClient, acme: NewMerchant, receiver: Receiver, mail: MailServer
) -> None:
    endpoint = disable_endpoint(client, receiver)
    assert mail.messages == [], "the webhook worker does not wait for the mail server"
    assert [send_disabled_endpoint_emails(), send_disabled_endpoint_emails()] == [1, 0]
    (message,) = mail.messages
    assert message["To"] == acme.merchant.email
    text = message.get_content()
    for part in (endpoint["id"], "127.0.0.1", "410", "被停用", "was disabled"):
        assert part in text
    assert "address-with-a-token" not in message.as_string()
    row = endpoint_row(endpoint)
    assert row.notice_due_at is None
    assert row.notice_sent_at is not None


def test_a_failed_email_is_sent_again_later(
    client: SignedClient, receiver: Receiver, mail: MailServer
) -> None:
    """When the mail server hangs up without an answer, it is not known whether it accepted the message."""
    disable_endpoint(client, receiver)
    mail.hangs_up = True
    assert [send_disabled_endpoint_emails(), send_disabled_endpoint_emails()] == [0, 0]
    assert len(mail.messages) == 1, "the second attempt waits for the lease"
    expire_leases()
    mail.hangs_up = False
    assert send_disabled_endpoint_emails() == 1
    first, second = mail.messages
    assert first["Message-ID"] == second["Message-ID"]


def test_a_failed_email_delays_no_other(
    client: SignedClient, other_client: SignedClient, receiver: Receiver, mail: MailServer
) -> None:
    disable_endpoint(client, receiver)
    disable_endpoint(other_client, receiver)
    mail.hangs_up = True
    send_disabled_endpoint_emails()
    mail.hangs_up = False
    assert send_disabled_endpoint_emails() == 1
    first, second = mail.messages
    assert first["To"] != second["To"]


def test_no_lock_is_held_while_the_mail_server_is_called(
    client: SignedClient, receiver: Receiver, mail: MailServer
) -> None:
    disable_endpoint(client, receiver)

    def take_the_lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM webhook_endpoints FOR UPDATE NOWAIT")
        connection.close()

    mail.on_message = take_the_lock
    assert send_disabled_endpoint_emails() == 1


def test_no_email_for_endpoints_that_need_none(
    client: SignedClient, receiver: Receiver, mail: MailServer
) -> None:
    theirs = registered(client, receiver.url("/theirs"), event_types=["refund.failed"])
    data(client.patch(f"{ENDPOINTS}/{theirs['id']}", {"status": "disabled"}))
    again = disable_endpoint(client, receiver)
    data(client.patch(f"{ENDPOINTS}/{again['id']}", {"status": "enabled"}))
    data(client.delete(f"{ENDPOINTS}/{disable_endpoint(client, receiver)['id']}"))
    disable_endpoint(client, receiver)
    WebhookEndpoint.objects.exclude(notice_due_at=None).update(disabled_at=Now() - dt.timedelta(days=4))
    assert (send_disabled_endpoint_emails(), mail.messages) == (0, [])


def test_without_a_mail_server_the_notice_stays_due(
    client: SignedClient, receiver: Receiver, settings
) -> None:
    endpoint = disable_endpoint(client, receiver)
    assert settings.EMAIL_URL == ""
    assert send_disabled_endpoint_emails() == 0
    assert endpoint_row(endpoint).notice_due_at is not None
