"""Staff: sign-in, second factor, approvals and exports (docs/BACKOFFICE.md)."""

from payment_platform.settings.base import LOCAL_STACK, env

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# axes first: it refuses accounts that are locked out, and signs nobody in.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "staff.backends.StaffBackend",
]
PASSWORD_RESET_TIMEOUT = 24 * 3600  # of the link that a new member of staff gets
# A password alone opens the back office on the local stack only; the system check access.E001 enforces that.
STAFF_OTP_REQUIRED: bool = env.bool("STAFF_OTP_REQUIRED", default=not LOCAL_STACK)
# Before approvals and changes of keys, accounts, payouts and staff, the second factor must have been checked within
# this time (staff/step_up.py); 0: only at the sign-in.
STAFF_STEP_UP_SECONDS: int = env.int("STAFF_STEP_UP_SECONDS", default=900)
# Pause after a wrong second-factor code; it doubles with each one.
STAFF_OTP_THROTTLE_SECONDS: float = env.float("STAFF_OTP_THROTTLE_SECONDS", default=1.0)
# Failures are counted in PostgreSQL, so that flushing Redis unlocks nothing. They count by name *and* address: a
# stranger who guesses passwords locks out their own address, not the person who has the name.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
# Failed sign-ins after which a name is locked out from that address, for a quarter of an hour.
AXES_FAILURE_LIMIT: int = env.int("STAFF_LOGIN_FAILURES", default=5)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "staff/locked_out.html"
AXES_SENSITIVE_PARAMETERS = ["otp_token", "csrfmiddlewaretoken"]  # besides the password
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_REDIRECT_URL = "admin:index"  # instead of a `next` on another host
LOGIN_URL = "admin:login"
# Exports of more rows are made in the background.
EXPORT_STREAMED_ROWS: int = env.int("EXPORT_STREAMED_ROWS", default=10_000)
# Rows of one export, at most.
EXPORT_MAX_ROWS: int = env.int("EXPORT_MAX_ROWS", default=1_000_000)
# Above these amounts a second person must approve (backoffice/approvals/limits.py). In major units of each
# currency; * is for all others: 10000 there is 10,000.00 USD, and the same number of minor units of a currency with
# other decimals.
SECOND_PERSON_ABOVE: dict[str, str] = env.dict(
    "SECOND_PERSON_ABOVE",
    default={
        "*": "10000",
        **dict.fromkeys(["JPY", "HUF"], "1000000"),
        **dict.fromkeys(["KRW", "CLP"], "10000000"),
        **dict.fromkeys(["IDR", "VND"], "200000000"),
        **dict.fromkeys(["BHD", "JOD", "KWD", "OMR"], "3000"),
    },
)
# How long after an account was made, or its access changed, it may approve as the second person (backoffice/approvals).
APPROVER_AGE_HOURS: float = env.float("APPROVER_AGE_HOURS", default=0 if LOCAL_STACK else 24)
# Sign-in links of staff are sent to addresses of these domains, and shown to nobody (needs EMAIL_URL).
STAFF_EMAIL_DOMAINS: list[str] = [name.lower() for name in env.list("STAFF_EMAIL_DOMAINS", default=[])]
