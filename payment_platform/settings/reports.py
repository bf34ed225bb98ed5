"""The destinations of scheduled reports."""

from django.core.exceptions import ImproperlyConfigured

from backoffice.reports.destination_settings import InvalidDestination, parse_destinations
from payment_platform.settings.base import env

# Destinations of scheduled reports (docs/REPORTS.md): `archive=/srv/reports`, `finance=s3://bucket/prefix?profile=name`.
_given: dict[str, str] = env.dict("REPORT_DESTINATIONS", default={})
try:
    REPORT_DESTINATIONS = parse_destinations(_given)
except InvalidDestination as _error:
    raise ImproperlyConfigured(f"REPORT_DESTINATIONS: {_error}.") from _error
