"""One migrated database for all workers of a test run. Each worker's database is a copy of it, made in a tenth of a
second.

To migrate takes three seconds of CPU. The first worker that needs a database does it, while the others wait for it; the
static checks run meanwhile. The test run's servers are thrown away, and the template with them.
"""

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection
from psycopg import sql

# Of an advisory lock: one worker creates the template.
_LOCK = 24_000_001


def use(test_run: str) -> None:
    """Makes Django create this process's test database from the template of `test_run`, which is created if it is not
    there yet."""
    name = f"migrated_{test_run}"
    database = connection.settings_dict
    with psycopg.connect(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
        dbname="postgres",
        autocommit=True,
    ) as session:
        session.execute("SELECT pg_advisory_lock(%s)", [_LOCK])  # until the session ends
        if not session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            unfinished = f"{name}_unfinished"
            _migrate(unfinished)
            session.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(unfinished), sql.Identifier(name)
                )
            )
    database["TEST"] |= {"TEMPLATE": name, "MIGRATE": False}


def _migrate(name: str) -> None:
    database = connection.settings_dict
    own_name, own_test_name = database["NAME"], database["TEST"]["NAME"]
    database["TEST"]["NAME"] = name
    try:
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    finally:
        connection.close()
        # A database with open connections cannot be copied.
        connection.close_pool()  # type: ignore[attr-defined]
        database["TEST"]["NAME"] = own_test_name
        database["NAME"] = settings.DATABASES[DEFAULT_DB_ALIAS]["NAME"] = own_name
