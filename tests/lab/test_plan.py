"""The hosts of the lab fit into one network, and the kernel accepts their names."""

import pytest

from scripts.lab.network import command_in, uplink, zone_bridge
from scripts.lab.plan import HOSTS, ZONES, HostRole, UnknownHost, find_host, list_zone

INTERFACE_NAME_LENGTH = 15


def test_names_and_addresses_are_unique() -> None:
    for values in (
        [host.name for host in HOSTS],
        [host.address for host in HOSTS],
        [host.cable for host in HOSTS],
    ):
        assert len(set(values)) == len(HOSTS)
    devices = [host.cable for host in HOSTS] + [
        name(zone) for zone in ZONES for name in (uplink, zone_bridge)
    ]
    assert max(map(len, devices)) <= INTERFACE_NAME_LENGTH


def test_losing_one_zone_leaves_a_majority() -> None:
    for zone in ZONES:
        left = [host.role for host in HOSTS if host not in list_zone(zone)]
        for role in (HostRole.DATABASE, HostRole.CACHE, HostRole.BROKER):
            assert left.count(role) == 2
        assert HostRole.GATEWAY in left
        assert HostRole.WORKER in left


def test_a_wrong_name_is_answered_with_the_right_ones() -> None:
    assert find_host("db-a").address == "10.77.0.11"
    with pytest.raises(UnknownHost, match="gateway-b"):
        find_host("gateway-z")
    with pytest.raises(UnknownHost, match="zones a, b, c"):
        list_zone("d")


def test_a_command_runs_on_its_host_and_not_as_root() -> None:
    command = command_in(find_host("db-a"), ["postgres", "-D", "/data"], as_nobody=True)
    assert command[:2] == ["nsenter", "--net=/run/netns/lab-db-a"]
    assert "--map-user=65534" in command
    assert command[-3:] == ["postgres", "-D", "/data"]
