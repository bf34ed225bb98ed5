"""The platform's settings and, for comparison, one bare view. Never used in production."""

from payment_platform.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.urls"
RATE_LIMIT_PER_SECOND = 0.0
LOG_LEVEL = "WARNING"
# Sixteen workers and the connection that counts.
DATABASES["default"]["OPTIONS"]["pool"]["max_size"] = 20  # noqa: F405
LOGGING = {"level": LOG_LEVEL, "format": "json"}
