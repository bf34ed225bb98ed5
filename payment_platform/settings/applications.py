"""Django's applications, middleware, templates, static files and languages."""

from pathlib import Path

from django.utils.translation import gettext_lazy as _

from payment_platform.settings.base import BASE_DIR, env

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "common.admin_config.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
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
    "channel_accounts",
    "ledger",
    "fees",
    "idempotency",
    "events",
    "orders",
    "webhooks",
    "gateway",
    "settlements",
    "payouts",
    "channels.simulator",
    "checkout",
    "audit",
    "monitoring",
    "backoffice",
    "backoffice.approvals",
    "backoffice.dashboard",
    "backoffice.exports",
    "backoffice.reports",
    "backoffice.work_queue",
    "demo",
    "staff",  # after all apps with models: its groups consist of their permissions
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
    "payment_platform.api_middleware.ApiMiddleware",  # requests of the API skip all that follow
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "staff.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "staff.middleware.SecondFactorMiddleware",
    "staff.middleware.PreferencesMiddleware",
    "staff.middleware.OwnWritesMiddleware",
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
STATIC_URL = "/static/"
# Folder of the collected style sheets and scripts.
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / ".local" / "static")))
WHITENOISE_ROOT = (
    BASE_DIR / "payment_platform" / "root"
)  # files that browsers request at /, such as /favicon.ico
# Folder of the evidence for disputes. Every process that serves requests or sagas must see the same one.
MEDIA_ROOT = Path(env.str("MEDIA_ROOT", default=str(BASE_DIR / ".local" / "media")))
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# Chinese, unless the client asks for English.
LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", _("Simplified Chinese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["payment_platform.formats"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
