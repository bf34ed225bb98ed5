"""What Django's ORM does not offer and the money path needs."""

from django.db import models, router
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery
from django.db import connections


def insert_unless_exists(row: models.Model) -> bool:
    """INSERT … ON CONFLICT DO NOTHING in one statement. False when a unique constraint already holds the row.

    Waits for a concurrent transaction that is inserting the same key, so False always means a committed row.
    """
    model = type(row)
    alias = router.db_for_write(model)
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    query = InsertQuery(model, on_conflict=OnConflict.IGNORE)
    query.insert_values(fields, [row])
    ((sql, params),) = query.get_compiler(using=alias).as_sql()
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        inserted: bool = cursor.rowcount == 1
    if inserted:
        row._state.adding, row._state.db = False, alias
    return inserted
