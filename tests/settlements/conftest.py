from tests.support.fixtures import (  # noqa: F401
    _in_a_hurry,
    acme,
    client,
    live_client,
    other_client,
    redis_down,
)
