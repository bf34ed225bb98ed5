"""The base class of Celery's tasks: while the database cannot serve, a run is one line of the log and no defect."""

from typing import Any

import psycopg
import structlog
from celery import Task
from celery.exceptions import Ignore
from django.db import DatabaseError, InterfaceError
from psycopg_pool import PoolTimeout

from common.database_errors import DatabaseErrorKind, classify_database_error

log = structlog.get_logger(__name__)

# A deadlock or a statement that takes too long is an error with a stack trace: it may be a defect of the task.
OUTAGES = frozenset(
    {DatabaseErrorKind.SESSION_LOST, DatabaseErrorKind.READ_ONLY, DatabaseErrorKind.EXHAUSTED}
)


class PeriodicTask(Task[Any, Any]):
    """Beat sends the task again after its interval, and each task does all due work: nothing is to be repeated."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """In a worker, an outage ends the run without a result: neither success nor failure. A direct call raises."""
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        try:
            return self.run(*args, **kwargs)
        except (DatabaseError, InterfaceError, PoolTimeout, psycopg.Error) as error:
            kind = classify_database_error(error)
            if kind is None or kind not in OUTAGES:
                raise
            log.warning("task.database_unavailable", kind=kind.name.lower(), reason=str(error).strip())
            raise Ignore from error
