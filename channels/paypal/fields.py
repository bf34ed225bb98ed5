"""Reads fields of PayPal's answers and events. A field with an unexpected shape raises `UnexpectedFormat`."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, TypeVar

from channels.base import UnexpectedFormat

T = TypeVar("T")


def read_text(source: Mapping[str, Any], name: str) -> str:
    """Returns the text, empty when it is missing."""
    value = source.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnexpectedFormat(f"{name} is not a text")
    return value


def read_object(source: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Returns the object, empty when it is missing."""
    value = source.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnexpectedFormat(f"{name} is not an object")
    return value


def read_list(source: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Returns the objects of a list, none when it is missing."""
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UnexpectedFormat(f"{name} is not a list of objects")
    return value


def read_time(source: Mapping[str, Any], name: str) -> dt.datetime | None:
    """Times are those of RFC 3339; transaction lists write the zone without a colon."""
    text = read_text(source, name)
    if not text:
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise UnexpectedFormat(f"{name} is no time") from error
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def read_state(states: Mapping[str, T], source: Mapping[str, Any], name: str) -> T:
    """Reads a status of PayPal as one of ours."""
    status = read_text(source, name)
    if status not in states:
        raise UnexpectedFormat(f"unknown {name} {status!r}")
    return states[status]


def find_link(source: Mapping[str, Any], *relations: str) -> str:
    """Returns the address of the first link with one of these relations, empty when there is none."""
    links = read_list(source, "links")
    for relation in relations:
        for link in links:
            if link.get("rel") == relation:
                return read_text(link, "href")
    return ""
