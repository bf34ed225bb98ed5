from tests.support.fixtures import _in_a_hurry, acme, client, live_client  # noqa: F401
