"""Compares e-mail addresses: the same mailbox, the company's domain."""

from django.conf import settings


def normalize_mailbox(address: str) -> str:
    """Removes case and the part after a plus: `Ann+2@Example.com` becomes `ann@example.com`."""
    name, _at, domain = address.strip().lower().rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


def is_company_mailbox(address: str) -> bool:
    """True if the address is in STAFF_EMAIL_DOMAINS and e-mail is configured."""
    return (
        bool(settings.EMAIL_URL)
        and normalize_mailbox(address).rpartition("@")[2] in settings.STAFF_EMAIL_DOMAINS
    )
