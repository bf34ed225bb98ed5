"""Places for work: they are shared fairly, and work that has begun comes before new work."""

import threading

import pytest
from django.db import connection

from common.external_calls import hold_place, release_while_waiting
from common.work_places import WorkPlace, WorkPlaces
from tests.support.connections import require_no_connection
from tests.support.threads import in_background


def take_all(places: WorkPlaces, key: str) -> list[WorkPlace]:
    taken = []
    while place := places.try_take(key):
        taken.append(place)
    return taken


def test_one_key_gets_half_of_the_places_and_a_newcomer_finds_one() -> None:
    places = WorkPlaces(8)
    assert [len(take_all(places, key)) for key in ("writes", "reads", "pages")] == [4, 2, 1]
    assert places.try_take("probes") is not None
    assert places.try_take("webhooks") is None


@pytest.mark.parametrize("count", [1, 2])
def test_few_places_are_still_used(count: int) -> None:
    places = WorkPlaces(count)
    assert len(take_all(places, "writes")) == 1
    assert len(take_all(places, "reads")) == count - 1


def test_work_that_comes_back_from_a_call_is_served_before_new_work() -> None:
    has_room = threading.Event()
    places = WorkPlaces(1, on_release=has_room.set)
    place = places.try_take("writes")
    assert place is not None
    place.release()
    other = places.try_take("reads")
    assert other is not None
    has_room.clear()

    returned = in_background(place.take_again)
    while not places._returning:
        assert not returned.done()
    assert places.try_take("writes") is None
    other.release()
    returned.result()
    assert not has_room.is_set(), "the place passed to the work that came back"
    assert places.try_take("reads") is None
    place.release()
    assert has_room.is_set()
    assert places.try_take("reads") is not None


@pytest.mark.django_db(transaction=True)
def test_during_a_call_the_thread_holds_neither_place_nor_connection() -> None:
    places = WorkPlaces(1)
    place = places.try_take("writes")
    assert place is not None
    with hold_place(place):
        connection.ensure_connection()
        with release_while_waiting():
            require_no_connection()
            during = places.try_take("reads")
            assert during is not None
            with release_while_waiting():  # a nested call does not release the place again
                assert places.try_take("pages") is None
            during.release()
        assert places.try_take("reads") is None
    assert places.try_take("reads") is not None


def test_a_failed_call_gets_its_place_back() -> None:
    places = WorkPlaces(1)
    place = places.try_take("writes")
    assert place is not None
    with hold_place(place):
        with pytest.raises(ConnectionError), release_while_waiting():
            raise ConnectionError
        assert places.try_take("reads") is None
    assert places.try_take("reads") is not None
