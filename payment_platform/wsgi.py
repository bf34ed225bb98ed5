import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from common.tracing import configure_tracing

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")

configure_tracing(settings.SERVICE_NAME)
application = get_wsgi_application()
