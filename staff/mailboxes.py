"""Which addresses are one mailbox, and which belong to the company."""

from django.conf import settings


def mailbox(address: str) -> str:
    """Without case, and without what stands after a plus: `Ann+2@Example.com` is `ann@example.com`."""
    name, _at, domain = address.strip().lower().rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


def is_of_the_company(address: str) -> bool:
    """On a domain of STAFF_EMAIL_DOMAINS, and mail can be sent at all."""
    return bool(settings.EMAIL_URL) and mailbox(address).rpartition("@")[2] in settings.STAFF_EMAIL_DOMAINS
