"""The lists of components say what is installed, and the gate notices what they lack."""

import dataclasses

import pytest

from scripts.release_gate.components import (
    Component,
    add_read_licenses,
    find_faults,
    read_components,
    read_pins,
)

DJANGO = Component("django", "5.2.19", "pkg:pypi/django@5.2.19", ("BSD-3-Clause",))
SQLPARSE = Component("sqlparse", "0.5.4", "pkg:pypi/sqlparse@0.5.4", ("BSD License",))
PYTEST = Component("pytest", "9.2.0", "pkg:pypi/pytest@9.2.0", ("MIT",))
PIP = Component("pip", "24.0", "pkg:pypi/pip@24.0", ("MIT",))
PINS = {"django": "5.2.19", "sqlparse": "0.5.4", "pytest": "9.2.0"}


def test_lists_that_agree_with_the_pins() -> None:
    assert find_faults([DJANGO, SQLPARSE, PIP], [[PYTEST, PIP]], pins=PINS, required=["django"]) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"version": "0.5.3"}, "sqlparse 0.5.3: the pin is 0.5.4"),
        ({"licenses": ()}, "sqlparse: no license"),
        ({"purl": ""}, "sqlparse: no purl"),
    ],
)
def test_a_component_that_differs(change: dict, fault: str) -> None:
    deployed = [DJANGO, dataclasses.replace(SQLPARSE, **change)]
    assert find_faults(deployed, [[PYTEST]], pins=PINS, required=["django"]) == [fault]


def test_a_package_without_a_pin() -> None:
    pins = {"django": "5.2.19", "pytest": "9.2.0"}
    faults = find_faults([DJANGO, SQLPARSE], [[PYTEST]], pins=pins, required=[])
    assert faults == ["sqlparse 0.5.4: not pinned"]


def test_what_is_missing() -> None:
    faults = find_faults([SQLPARSE], [[PIP]], pins=PINS, required=["django"])
    assert faults == [
        "django is required and not deployed",
        "django is pinned and in no list",
        "pytest is pinned and in no list",
    ]


def test_a_document_is_read() -> None:
    """Licenses have three forms in CycloneDX: an SPDX identifier, a name, an SPDX expression."""
    parts = [
        {"name": "A.b_C", "version": "1", "purl": "pkg:pypi/a@1", "licenses": [{"license": {"id": "MIT"}}]},
        {
            "name": "d",
            "version": "2",
            "licenses": [{"license": {"name": "BSD"}}, {"expression": "MIT OR ISC"}],
        },
        {"name": "e"},
    ]
    assert read_components({"components": parts}) == [
        Component("a-b-c", "1", "pkg:pypi/a@1", ("MIT",)),
        Component("d", "2", "", ("BSD", "MIT OR ISC")),
        Component("e", "", "", ()),
    ]


def test_a_license_that_was_read_completes_the_list() -> None:
    own = [{"license": {"id": "MIT"}}]
    document = {
        "components": [{"name": "Supervisor"}, {"name": "patroni", "licenses": own}, {"name": "other"}]
    }
    add_read_licenses(document)
    found = [each.licenses for each in read_components(document)]
    assert found == [("BSD-derived (Repoze)",), ("MIT",), ()]


def test_pins_of_the_project() -> None:
    pins = read_pins()
    assert pins.keys() > read_pins("requirements.txt").keys() > {"django", "psycopg", "drf-spectacular"}
    assert all(version[0].isdigit() for version in pins.values())
