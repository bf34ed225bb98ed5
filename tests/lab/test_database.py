"""Which state of Patroni's cluster is whole, and to which member the lab switches over."""

import pytest

from scripts.lab.database import Member, find_candidate, is_whole

LEADER, SYNC = Member("db-a", "leader", "running"), Member("db-c", "sync_standby", "streaming")
ASYNC = Member("db-b", "replica", "streaming")


def test_a_whole_cluster() -> None:
    assert is_whole([LEADER, ASYNC, SYNC])
    assert find_candidate([LEADER, ASYNC, SYNC]) == "db-c"


@pytest.mark.parametrize(
    "members",
    [
        [],
        [LEADER, SYNC],
        [ASYNC, SYNC],
        [LEADER, ASYNC, Member("db-c", "replica", "streaming")],  # none is synchronous yet
        [LEADER, SYNC, Member("db-b", "replica", "starting")],
        [Member("db-a", "leader", "stopped"), ASYNC, SYNC],
    ],
)
def test_a_cluster_that_is_not(members: list[Member]) -> None:
    assert not is_whole(members)
