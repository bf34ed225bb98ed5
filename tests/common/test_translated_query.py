"""The private parts of psycopg that `common/postgresql/base.py` builds on. A new release may change them.

`TranslatedQuery` keeps the translation of long statements of the hot path. If a test fails after an update of psycopg,
compare `PostgresQuery.convert` with ours. To do without: remove `_query_cls` of `TranslatingCursor`; a payment then
translates its statements again for each request, which `tests/api/test_hot_path.py` shows as function calls.
"""

import inspect

import pytest
from django.db import connection
from psycopg import _queries
from psycopg._cursor_base import BaseCursor

from common.postgresql import base


def test_the_replaced_parts_of_psycopg_exist() -> None:
    assert BaseCursor._query_cls is _queries.PostgresQuery
    assert list(inspect.signature(_queries.PostgresQuery.convert).parameters) == ["self", "query", "vars"]
    assert list(inspect.signature(_queries.PostgresQuery.dump).parameters) == ["self", "vars"]
    assert list(inspect.signature(_queries._query2pg_nocache).parameters) == ["query", "encoding"]
    slots = set(_queries.PostgresQuery.__slots__)
    assert {"query", "_tx", "_want_formats", "_order", "_parts"} <= slots


@pytest.mark.django_db
def test_a_long_statement_has_the_same_result_with_both() -> None:
    count = _queries.MAX_CACHED_STATEMENT_PARAMS + 10
    statement = f"SELECT ARRAY[{', '.join(['%s::int'] * count)}]"
    base._translate.cache_clear()
    for _number in range(2):
        with connection.cursor() as cursor:
            cursor.execute(statement, list(range(count)))
            assert cursor.fetchone() == (list(range(count)),)
    assert base._translate.cache_info().currsize == 1, "our class is used"
