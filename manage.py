#!/usr/bin/env python
"""Django's command line for the payment platform."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError, InterfaceError

from common.database_errors import classify_database_error


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payment_platform.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"ERROR {error}")
    except (DatabaseError, InterfaceError) as error:
        if "--traceback" in sys.argv or classify_database_error(error) is None:
            raise
        sys.exit(f"ERROR PostgreSQL: {error}".rstrip())


if __name__ == "__main__":
    main()
