"""Secrets, host names, proxies, cookies and the content security policy."""

import ipaddress

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings import secrets
from payment_platform.settings.base import LOCAL_STACK, PUBLIC_BASE_URL, env

# Signs sessions, password links and payment page addresses: at least 32 random characters.
SECRET_KEY: str = secrets.secret(
    "SECRET_KEY",
    env.str("SECRET_KEY", default=""),
    local=LOCAL_STACK,
    default=secrets.LOCAL_SECRET_KEY,
)
# Fernet keys, newest first: the first one encrypts, all of them decrypt (key rotation without downtime).
PAYMENT_MASTER_KEYS: list[str] = secrets.master_keys(
    env.list("PAYMENT_MASTER_KEYS", default=[]), local=LOCAL_STACK
)
# The key of the hash under which API keys are stored. Apart from SECRET_KEY, so that rotating SECRET_KEY does not
# invalidate every API key.
KEYED_HASH_SECRET: str = secrets.secret(
    "KEYED_HASH_SECRET",
    env.str("KEYED_HASH_SECRET", default=SECRET_KEY),
    local=LOCAL_STACK,
    default=SECRET_KEY,
)
# Earlier values of KEYED_HASH_SECRET: they verify the daily closes of the ledger that they have signed. They find no
# API key and no recovery code, which end when KEYED_HASH_SECRET is rotated.
KEYED_HASH_OLD_SECRETS: list[str] = env.list("KEYED_HASH_OLD_SECRETS", default=[])

# Host names that the gateway answers to.
ALLOWED_HOSTS: list[str] = env.list(
    "ALLOWED_HOSTS", default=["*"] if LOCAL_STACK else ["localhost", "127.0.0.1"]
)
# Networks of the proxies in front of the gateway. X-Forwarded-For is trusted only when one of them sends it.
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])
try:
    [ipaddress.ip_network(network) for network in TRUSTED_PROXIES]
except ValueError as error:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES: {error}. Give networks such as 10.0.0.0/8.") from error
CSRF_FAILURE_VIEW = "checkout.api.csrf_failure"
# Origins from which forms of the admin may be sent.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_BASE_URL])

SESSION_ENGINE = "staff.session_store"
# A session lasts for a shift, and ends with the browser.
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_BASE_URL.startswith("https://")
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SESSION_COOKIE_SECURE else 0
# Of `check --deploy`: the edge redirects to https (W008); whether all subdomains use https, and for ever, is not known
# here (W005, W021).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        # The payment page adds the host of a channel to which it posts a form (checkout/page.py).
        "form-action": ["'self'"],
    },
}
# Directives that differ, by the beginning of the path: pages with scripts of other projects (staff/middleware.py).
CONTENT_POLICIES = {
    "/admin/": {
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
    },
    "/api/docs": {
        "script-src": ["'self'", "'unsafe-inline'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
    },
}
