"""What Django's ORM does not offer and the money path needs."""

from django.db import connections, models, router
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery


def insert_unless_exists(row: models.Model) -> bool:
    """INSERT … ON CONFLICT DO NOTHING in one statement. False when a unique constraint already holds the row.

    Waits for a concurrent transaction that is inserting the same key, so False always means a committed row.
    Columns that the database fills in (`db_default`) are read back.
    """
    model = type(row)
    alias = router.db_for_write(model)
    fields = [field for field in model._meta.concrete_fields if not field.generated]
    query = InsertQuery(model, on_conflict=OnConflict.IGNORE)
    query.insert_values(fields, [row])
    compiler = query.get_compiler(using=alias)
    compiler.returning_fields = returning = model._meta.db_returning_fields or [model._meta.pk]
    ((sql, params),) = compiler.as_sql()
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, params)
        values = cursor.fetchone()
    if values is None:
        return False
    for field, value in zip(returning, values, strict=True):
        setattr(row, field.attname, value)
    row._state.adding, row._state.db = False, alias
    return True
