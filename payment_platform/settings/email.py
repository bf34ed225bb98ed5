"""E-mail: to merchants about a disabled endpoint, to staff with their sign-in links."""

from payment_platform.settings.base import env

# Mail server, as smtp+tls://user:password@host:587. Empty: no e-mail is sent.
EMAIL_URL: str = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    globals().update(env.email_url_config(EMAIL_URL))
# Sender of e-mails.
DEFAULT_FROM_EMAIL: str = env.str("EMAIL_FROM", default="payments@localhost")
EMAIL_TIMEOUT = 10
