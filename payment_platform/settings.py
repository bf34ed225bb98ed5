"""Settings, all from the environment under the names of the quick start. Wrong values fail at start, loudly."""

import ipaddress
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _
from kombu import Queue

from payment_platform import secret_settings
from payment_platform.ticks import beat_schedule

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
# Folder of the local stack's data. Its secrets are read from there, so that `manage.py` in a terminal is the
# installation that the local stack runs. The environment wins over the file.
LOCAL_SECRETS = Path(env.str("LOCAL_DIR", default=str(BASE_DIR / ".local"))) / "secrets.env"
if LOCAL_SECRETS.exists():
    env.read_env(LOCAL_SECRETS)

# --- What kind of installation this is -------------------------------------------------------
# Django's debug pages. Only on a developer's own machine.
DEBUG: bool = env.bool("DEBUG", default=False)
# The local stack: loopback callbacks allowed, demo data allowed. Never set it where real money moves.
LOCAL_STACK: bool = env.bool("LOCAL_STACK", default=DEBUG)
# Enables the demo merchant's well-known key and signature. Refused outside the local stack.
PAYMENT_DEMO: bool = env.bool("PAYMENT_DEMO", default=False)
# Lets tests kill a process at a named commit boundary (common/crash.py).
CRASH_POINTS: bool = env.bool("CRASH_POINTS", default=False)

# Signs sessions, password links and payment page addresses: at least 32 random characters.
SECRET_KEY: str = secret_settings.secret(
    "SECRET_KEY",
    env.str("SECRET_KEY", default=""),
    local=LOCAL_STACK,
    default=secret_settings.LOCAL_SECRET_KEY,
)
# Fernet keys, newest first: the first one seals, all of them open (key rotation without downtime).
PAYMENT_MASTER_KEYS: list[str] = secret_settings.master_keys(
    env.list("PAYMENT_MASTER_KEYS", default=[]), local=LOCAL_STACK
)
# What API keys are hashed with. Its own setting, so that SECRET_KEY can be rotated without ending every API key.
KEYED_HASH_SECRET: str = secret_settings.secret(
    "KEYED_HASH_SECRET",
    env.str("KEYED_HASH_SECRET", default=SECRET_KEY),
    local=LOCAL_STACK,
    default=SECRET_KEY,
)

# The name of this process in traces, logs and PostgreSQL's sessions.
SERVICE_NAME: str = env.str("SERVICE_NAME", default="payment-gateway")
# Where the gateway listens.
PORT: int = env.int("PORT", default=40003)
# The gateway's address as customers and channels see it. With https, cookies are sent over https only.
PUBLIC_BASE_URL: str = env.str("PUBLIC_BASE_URL", default=f"http://localhost:{PORT}").rstrip("/")
# Host names that the gateway answers to.
ALLOWED_HOSTS: list[str] = env.list(
    "ALLOWED_HOSTS", default=["*"] if LOCAL_STACK else ["localhost", "127.0.0.1"]
)
# The proxies in front of us, as networks: only what these write into X-Forwarded-For is believed.
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", default=[])
try:
    [ipaddress.ip_network(network) for network in TRUSTED_PROXIES]
except ValueError as error:
    raise ImproperlyConfigured(f"TRUSTED_PROXIES: {error}. Give networks such as 10.0.0.0/8.") from error
CSRF_FAILURE_VIEW = "checkout.api.csrf_failure"
# Origins from which forms of the admin may be sent.
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[PUBLIC_BASE_URL])

# --- Django ----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "django_otp",
    "axes",
    "common",
    "sagas",
    "merchants",
    "idempotency",
    "events",
    "orders",
    "webhooks",
    "gateway",
    "channels.simulator",
    "audit",
    "monitoring",
    "backoffice",
    "backoffice.approvals",
    "backoffice.dashboard",
    "backoffice.exports",
    "demo",
    "staff",  # last of those with models: its groups are made of the permissions of all others
    "payment_platform",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "common.api.client_address.ClientAddressMiddleware",
    "common.api.middleware.RequestIdMiddleware",
    "common.api.observation.TraceMiddleware",
    "common.api.observation.MetricsMiddleware",
    "common.api.middleware.RefuseUnservableMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "staff.middleware.SecondFactorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "staff.middleware.ContentPolicyMiddleware",
    "staff.middleware.VisibleCharactersMiddleware",
    "axes.middleware.AxesMiddleware",  # last: it answers in place of the view
]
ROOT_URLCONF = "payment_platform.urls"
WSGI_APPLICATION = "payment_platform.wsgi.application"
APPEND_SLASH = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# axes first: it refuses whoever is locked out, and lets nobody in itself.
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
PASSWORD_RESET_TIMEOUT = 24 * 3600  # of the link that a new member of staff gets
STATIC_URL = "/static/"
# Folder of the collected style sheets and scripts.
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / ".local" / "static")))
WHITENOISE_ROOT = BASE_DIR / "payment_platform" / "root"  # what browsers look for at /
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Language: Chinese unless the caller asks for English ---------------------------------------
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["payment_platform.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

# --- PostgreSQL: the truth -------------------------------------------------------------------------
# PostgreSQL ends a statement that runs longer; migrations have none.
STATEMENT_TIMEOUT_SECONDS = env.int("STATEMENT_TIMEOUT_SECONDS", default=15)
# One host, or several with commas, of which one takes writes: as libpq has it, with one port for all or one for each.
DB_HOST: str = env.str("DB_HOST", default="localhost")
# PostgreSQL port: one for all hosts, or one for each, with commas.
DB_PORT: str = env.str("DB_PORT", default="40432")
if not all(port.isdecimal() and 0 < int(port) < 65536 for port in DB_PORT.split(",")):
    raise ImproperlyConfigured(
        f"DB_PORT={DB_PORT}: give a port, or one for each host of DB_HOST with commas."
    )
if DB_PORT.count(",") not in (0, DB_HOST.count(",")):
    raise ImproperlyConfigured(
        f"DB_HOST={DB_HOST} and DB_PORT={DB_PORT}: give one port for all hosts or one for each."
    )
DATABASE = {
    "ENGINE": "common.postgresql",
    "HOST": DB_HOST,
    "PORT": DB_PORT,
    # PostgreSQL role.
    "USER": env.str("DB_USER", default="postgres"),
    # Its password.
    "PASSWORD": env.str("DB_PASSWORD", default="postgres" if LOCAL_STACK else ""),
    # PostgreSQL database.
    "NAME": env.str("DB_NAME", default="payment_gateway"),
    "CONN_HEALTH_CHECKS": True,
    "OPTIONS": {
        "connect_timeout": 5,
        # A server that has become a standby is passed over: the next host, or another try, until one takes writes.
        "target_session_attrs": "read-write",
        # A server that vanished without a word is noticed in this time, and not after the kernel's quarter of an hour.
        "tcp_user_timeout": 10_000,  # milliseconds
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        # Statements are prepared on their third use: planning them anew costs more than running them.
        "server_side_binding": True,
        "prepare_threshold": 3,
        "application_name": SERVICE_NAME,
        # A dead client must not keep its locks: idle transactions end before a lease does.
        "options": f"-c statement_timeout={STATEMENT_TIMEOUT_SECONDS * 1000}"
        " -c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000",
        "pool": {
            "min_size": 1,
            # Connections to PostgreSQL per process, at most.
            "max_size": env.int("DB_POOL_MAX_SIZE", default=16),
            # An outage must not hold every thread, and must be over soon after it is over.
            "timeout": 3,
            "reconnect_timeout": 5,
        },
    },
}
# The simulator commits its books on a connection of its own, as a bank would, so that a crash of the
# platform's transaction can never roll back what "the channel" did (ADR 4).
DATABASES = {"default": DATABASE, "simulator": {**DATABASE, "TEST": {"MIRROR": "default"}}}
DATABASE_ROUTERS = ["channels.simulator.router.SimulatorRouter"]

# --- Redis: an accelerator; everything works without it ---------------------------------------------
# Redis host.
REDIS_HOST: str = env.str("REDIS_HOST", default="localhost")
# Redis port.
REDIS_PORT: int = env.int("REDIS_PORT", default=40379)
# Redis database number.
REDIS_DB: int = env.int("REDIS_DB", default=0)
REDIS_URL = f"redis://{REDIS_HOST}:{REDIS_PORT}/{REDIS_DB}"
# How long a request waits for one answer of Redis: a Redis that hangs must not be worse than none.
REDIS_TIMEOUT_SECONDS = 0.2
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {
            "SOCKET_CONNECT_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "CONNECTION_POOL_KWARGS": {"max_connections": 64},
        },
    }
}

# --- Celery: periodic tasks, never the truth ----------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ALWAYS_EAGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_DEFAULT_QUEUE = "periodic"
CELERY_TASK_QUEUES = [Queue("periodic"), Queue("sagas")]
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 0.5,
    "socket_timeout": 5,
    "visibility_timeout": 120,
    # A message is given up at once when the broker is gone: the next one of its kind does the same.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
    "global_keyprefix": "payment-gateway:celery:",
}
CELERY_BEAT_SCHEDULER = "payment_platform.beat:SteadyScheduler"

# --- Sagas -------------------------------------------------------------------------------------------
# How often a worker looks for due sagas when no hint comes, and how often Celery beat sweeps.
SAGA_SWEEP_SECONDS: float = env.float("SAGA_SWEEP_SECONDS", default=2.0)
CELERY_BEAT_SCHEDULE = beat_schedule(sweep_seconds=SAGA_SWEEP_SECONDS)
# Each queue has workers of its own, so that test traffic never takes a place of live traffic: manage.py run_sagas.
SAGA_TASK_QUEUES = ("live", "test", "default")
# Sagas at a time in one worker, per queue. Twice CHANNEL_CALLS_PER_PROCESS: one merchant's sagas, and one channel's
# calls, then hold at most half of a worker.
SAGA_WORKER_THREADS: int = env.int("SAGA_WORKER_THREADS", default=12)
# A channel call must end well within the lease: see sagas.definitions.
SAGA_LEASE_SECONDS: float = env.float("SAGA_LEASE_SECONDS", default=30.0)
# The pause before the first retry of a step; it doubles with each one, with full jitter.
SAGA_RETRY_BASE_SECONDS: float = env.float("SAGA_RETRY_BASE_SECONDS", default=1.0)
# The longest pause between two retries.
SAGA_RETRY_CAP_SECONDS: float = env.float("SAGA_RETRY_CAP_SECONDS", default=60.0)

# --- Payments ------------------------------------------------------------------------------------------
# One call to a channel, connection and answer together.
CHANNEL_TIMEOUT_SECONDS: float = env.float("CHANNEL_TIMEOUT_SECONDS", default=10.0)
# A channel that leaves so many calls unanswered is given a pause: docs/ARCHITECTURE.md, "A channel that is down".
CHANNEL_BREAKER_FAULTS: int = env.int("CHANNEL_BREAKER_FAULTS", default=3)
# The first such pause; it doubles up to a minute while the channel does not answer.
CHANNEL_BREAKER_PAUSE_SECONDS: float = env.float("CHANNEL_BREAKER_PAUSE_SECONDS", default=5.0)
# Fewer than WEB_THREADS: a slow channel must leave threads to the others.
CHANNEL_CALLS_PER_PROCESS: int = env.int("CHANNEL_CALLS_PER_PROCESS", default=6)
# How long a payment without `expires_in` can be paid.
PAYMENT_EXPIRES_IN_SECONDS: int = env.int("PAYMENT_EXPIRES_IN_SECONDS", default=1800)
# Money that arrives for a closed payment: "refund" gives it back, "park" leaves it to a person.
LATE_MONEY_POLICY: str = env.str("LATE_MONEY_POLICY", default="refund")
# After so long without an answer, a repeated request resumes what the first one began.
IDEMPOTENCY_LEASE_SECONDS: float = env.float("IDEMPOTENCY_LEASE_SECONDS", default=60.0)
# Where the simulator sends its webhooks: this gateway.
SIMULATOR_WEBHOOK_URL: str = env.str(
    "SIMULATOR_WEBHOOK_URL", default=f"http://127.0.0.1:{PORT}/api/v1/webhooks/simulator"
)
# Who knows it can have a test payment succeed: it is as secret as a channel's own.
SIMULATOR_WEBHOOK_SECRET: str = secret_settings.secret(
    "SIMULATOR_WEBHOOK_SECRET",
    env.str("SIMULATOR_WEBHOOK_SECRET", default=""),
    local=LOCAL_STACK,
    default=secret_settings.LOCAL_WEBHOOK_SECRET,
)
# Requests per second of one API key, on average.
RATE_LIMIT_PER_SECOND: float = env.float("RATE_LIMIT_PER_SECOND", default=100.0)
# Requests that one API key may send at once.
RATE_LIMIT_BURST: int = env.int("RATE_LIMIT_BURST", default=200)
# Stripe, per environment. Without a test key, test payments of channel "stripe" are served by the simulator.
STRIPE_SECRET_KEYS: dict[str, str] = {
    "test": env.str("STRIPE_TEST_SECRET_KEY", default=""),
    "live": env.str("STRIPE_LIVE_SECRET_KEY", default=""),
}
# The signing secrets of the webhook endpoint, newest first: both the new and the old one while it is rotated.
STRIPE_WEBHOOK_SECRETS: dict[str, list[str]] = {
    "test": env.list("STRIPE_TEST_WEBHOOK_SECRETS", default=[]),
    "live": env.list("STRIPE_LIVE_WEBHOOK_SECRETS", default=[]),
}
# Another server that speaks Stripe's API, for tests.
STRIPE_API_BASE: str = env.str("STRIPE_API_BASE", default="")
for _environment, _key in STRIPE_SECRET_KEYS.items():
    if _key and not _key.startswith((f"sk_{_environment}_", f"rk_{_environment}_")):
        raise ImproperlyConfigured(
            f"STRIPE_{_environment.upper()}_SECRET_KEY is no {_environment} key: it begins with sk_{_environment}_."
        )

# --- Events out ---------------------------------------------------------------------------------------
# Empty: no stream; webhooks go out in any case.
KAFKA_BROKERS: str = env.str("KAFKA_BROKERS", default="")
# Kafka topic of all events.
KAFKA_TOPIC: str = env.str("KAFKA_TOPIC", default="payment.events")
# Connection, answer and all, of one call to a merchant's endpoint.
WEBHOOK_TIMEOUT_SECONDS: float = env.float("WEBHOOK_TIMEOUT_SECONDS", default=15.0)
if not 0 < WEBHOOK_TIMEOUT_SECONDS <= 30:
    raise ImproperlyConfigured(
        "WEBHOOK_TIMEOUT_SECONDS is above 0 and at most 30: a delivery's lease is a minute."
    )
# Calls to merchants' endpoints at a time, in one webhook worker.
WEBHOOK_THREADS: int = env.int("WEBHOOK_THREADS", default=64)
# Ports that a merchant's endpoint may have.
WEBHOOK_PORTS: frozenset[int] = frozenset(env.list("WEBHOOK_PORTS", cast=int, default=[80, 443, 8080, 8443]))
# Endpoints on this machine, for trying out. Never where strangers can register endpoints.
WEBHOOK_ALLOW_LOOPBACK: bool = env.bool("WEBHOOK_ALLOW_LOOPBACK", default=LOCAL_STACK)

# --- E-mail to merchants: that an endpoint of theirs was disabled ------------------------------------------
# As smtp+tls://user:password@host:587. Empty: none is sent.
EMAIL_URL: str = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    globals().update(env.email_url_config(EMAIL_URL))
# Sender of e-mails.
DEFAULT_FROM_EMAIL: str = env.str("EMAIL_FROM", default="payments@localhost")
EMAIL_TIMEOUT = 10

# --- API ------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["common.api.renderers.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["common.api.parsers.StrictJsonParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["merchants.authentication.SignatureAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["merchants.permissions.HasScope"],
    "EXCEPTION_HANDLER": "common.api.exceptions.handle_exception",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    # `?format=` is an unknown field like any other.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Payment Platform API",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": (
        "Payments, refunds and orders for merchants. Every write is idempotent.\n\n"
        "Guides: [Signing](/api/docs/signing) · [Idempotency](/api/docs/idempotency) · [Errors](/api/docs/errors) · "
        "[Events and webhooks](/api/docs/events) · [Simulator](/api/docs/simulator)"
    ),
    "LICENSE": {"name": "Proprietary", "identifier": "LicenseRef-Proprietary"},
    "SERVERS": [{"url": "/", "description": "The host that serves this document."}],
    "TAGS": [
        {"name": "payments", "description": "Take money."},
        {"name": "refunds", "description": "Give it back."},
        {"name": "disputes", "description": "What customers dispute at their bank."},
        {"name": "orders", "description": "What is paid for."},
        {"name": "channel", "description": "Payments by the channel's number."},
        {"name": "merchant", "description": "Your account and its API keys."},
        {"name": "events", "description": "What happened, by polling."},
        {"name": "webhook-endpoints", "description": "Where events are delivered."},
        {"name": "webhook-deliveries", "description": "What was delivered, and delivering it again."},
        {"name": "webhooks", "description": "What we send to your endpoints."},
    ],
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Offline: the documentation page loads nothing from other hosts.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "payment_platform.api_docs.openapi.complete",
    ],
    "ENUM_NAME_OVERRIDES": {
        "PaymentStatus": "gateway.models.PaymentStatus",
        "RefundStatus": "gateway.models.RefundStatus",
        "OrderStatus": "orders.models.OrderStatus",
        "Environment": "merchants.models.Environment",
        "DisputeStatus": "gateway.models.DisputeStatus",
        "RefundOrigin": "gateway.models.RefundOrigin",
        "RefundState": ["none", "partial", "full"],
        "Scope": "merchants.scopes.ALL_SCOPES",
        "PaymentAttemptStatus": "gateway.models.AttemptStatus",
        "SubscribableEventType": "events.catalogue.SUBSCRIBABLE",
        "MerchantStatus": "merchants.models.MerchantStatus",
        "KeyState": "merchants.models.KeyState",
        "WebhookEndpointStatus": "webhooks.api.serializers.SHOWN_STATUSES",
        "WebhookDeliveryStatus": "webhooks.models.DeliveryStatus",
        "WebhookOutcome": "webhooks.models.AttemptOutcome",
        "EventType": "events.api.serializers.EVENT_TYPES",
    },
}

# --- Staff: docs/BACKOFFICE.md ------------------------------------------------------------------------------
# A password alone opens the back office on the local stack only; a system check (access.E001) sees to that.
STAFF_OTP_REQUIRED: bool = env.bool("STAFF_OTP_REQUIRED", default=not LOCAL_STACK)
# Pause after a wrong second-factor code; it doubles with each one.
STAFF_OTP_THROTTLE_SECONDS: float = env.float("STAFF_OTP_THROTTLE_SECONDS", default=1.0)
# In Postgres, so that a flushed Redis opens no door. Name *and* address: a stranger who guesses at a name locks out
# themselves, not the person who has it.
AXES_HANDLER = "axes.handlers.database.AxesDatabaseHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
# Failed sign-ins after which a name is locked out from that address, for a quarter of an hour.
AXES_FAILURE_LIMIT: int = env.int("STAFF_LOGIN_FAILURES", default=5)
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_TEMPLATE = "staff/locked_out.html"
AXES_SENSITIVE_PARAMETERS = ["otp_token", "csrfmiddlewaretoken"]  # and the password, always
AXES_DISABLE_ACCESS_LOG = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
LOGIN_REDIRECT_URL = "admin:index"  # where a `next` that leads elsewhere is not followed
LOGIN_URL = "admin:login"
# A session is a shift, and ends with the browser.
SESSION_COOKIE_AGE = 8 * 3600
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Exports of more rows are made in the background.
EXPORT_STREAMED_ROWS: int = env.int("EXPORT_STREAMED_ROWS", default=10_000)
# Rows of one export, at most.
EXPORT_MAX_ROWS: int = env.int("EXPORT_MAX_ROWS", default=1_000_000)
# --- What staff do -------------------------------------------------------------------------------------------
# Above so much two people decide: backoffice/approvals/thresholds.py. In major units of each currency; * is for others:
# 10000 there is 10,000.00 USD, and the same number of minor units of a currency with other decimals.
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

# So long after an account was made, or its access changed, it decides as the second person (backoffice/approvals).
APPROVER_AGE_HOURS: float = env.float("APPROVER_AGE_HOURS", default=0 if LOCAL_STACK else 24)
# Links of staff are sent to addresses of these domains, and shown to nobody (needs EMAIL_URL).
STAFF_EMAIL_DOMAINS: list[str] = [name.lower() for name in env.list("STAFF_EMAIL_DOMAINS", default=[])]

# --- Browser safety ----------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_BASE_URL.startswith("https://")
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if SESSION_COOKIE_SECURE else 0
NOWHERE_ELSE = {
    "default-src": ["'none'"],
    "img-src": ["'self'", "data:"],
    "frame-ancestors": ["'none'"],
    "base-uri": ["'none'"],
}
CONTENT_SECURITY_POLICY = {
    # The payment page leads back to the merchant, wherever that is.
    "DIRECTIVES": {
        **NOWHERE_ELSE,
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["*"],
    },
}
# By the beginning of the path, for pages whose scripts are not ours: staff/middleware.py.
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

# --- Metrics, traces, logs -------------------------------------------------------------------------------------
# Where traces are collected (OTLP/HTTP, its base address). Empty: none are made.
OTLP_ENDPOINT: str = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default="").rstrip("/")
# The part of requests that is traced, from 0 to 1.
TRACE_SAMPLE_RATIO: float = env.float("TRACE_SAMPLE_RATIO", default=0.1)
if not 0 <= TRACE_SAMPLE_RATIO <= 1:
    raise ImproperlyConfigured("TRACE_SAMPLE_RATIO is the part of requests that is traced: from 0 to 1.")
# Where worker, beat and relay answer scrapes, each in a container of its own. 0: on one machine the gateway does.
METRICS_PORT: int = env.int("METRICS_PORT", default=0)
# "json": one object a line. "console": for people.
LOG_FORMAT: str = env.str("LOG_FORMAT", default="console" if LOCAL_STACK else "json")
if LOG_FORMAT not in ("json", "console"):
    raise ImproperlyConfigured(f"LOG_FORMAT={LOG_FORMAT} is neither json nor console.")
# Least severe level that is logged.
LOG_LEVEL: str = env.str("LOG_LEVEL", default="INFO").upper()
LOGGING_CONFIG = "common.logs.configure_logging"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}

UNFOLD = {
    "SITE_TITLE": _("Payment Platform"),
    "SITE_HEADER": _("Payment Platform"),
    "SITE_URL": "/api/docs",
    "SITE_FAVICONS": [{"rel": "icon", "href": "/favicon.ico"}],
    "SHOW_LANGUAGES": True,
    "ACCOUNT": {"navigation": [{"title": _("Second factor"), "link": reverse_lazy("second_factor")}]},
    "SIDEBAR": {"navigation": "backoffice.navigation.groups"},
    "DASHBOARD_CALLBACK": "backoffice.dashboard.page.add_to",
    "STYLES": [lambda _request: static("office/office.css")],
    "SCRIPTS": [lambda _request: static("office/office.js")],
}
