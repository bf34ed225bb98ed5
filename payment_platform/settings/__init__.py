"""All settings, one file for each subject. A wrong value stops the process at start, with a line that names it."""

from payment_platform.settings.admin import *
from payment_platform.settings.api import *
from payment_platform.settings.applications import *
from payment_platform.settings.base import *
from payment_platform.settings.celery import *
from payment_platform.settings.channels import *
from payment_platform.settings.database import *
from payment_platform.settings.email import *
from payment_platform.settings.events import *
from payment_platform.settings.idempotency import *
from payment_platform.settings.observability import *
from payment_platform.settings.payments import *
from payment_platform.settings.payouts import *
from payment_platform.settings.redis import *
from payment_platform.settings.reports import *
from payment_platform.settings.sagas import *
from payment_platform.settings.security import *
from payment_platform.settings.single_sign_on import *
from payment_platform.settings.staff import *
