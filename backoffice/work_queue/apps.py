from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorkQueueConfig(AppConfig):
    name = "backoffice.work_queue"
    verbose_name = _("Work queue")
