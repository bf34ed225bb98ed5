"""Every card number is redacted, in every notation. Durations, times, ids and amounts are not.

Ranges: https://en.wikipedia.org/wiki/Payment_card_number and the schemes' own pages; check digit: ISO/IEC 7812-1.
"""

import datetime as dt
import json
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.redaction import redact_log_event

# Beginning, and how long numbers of the scheme are.
SCHEMES = [
    ("4", (13, 16, 19)),  # Visa
    *((str(start), (16,)) for start in range(51, 56)),  # Mastercard
    *((start, (16,)) for start in ("2221", "2300", "2699", "2719", "2720")),
    ("34", (15,)),  # American Express
    ("37", (15,)),
    *((start, (14,)) for start in ("300", "305", "36", "38", "39")),  # Diners Club
    *((start, (16,)) for start in ("3528", "3589")),  # JCB
    *((start, (16, 19)) for start in ("6011", "644", "649", "65")),  # Discover
    ("62", (16, 17, 18, 19)),  # UnionPay
    *((start, (12 + 1, 16, 19)) for start in ("50", "56", "58", "60", "63", "67")),  # Maestro
    *((start, (16, 19)) for start in ("2200", "2204")),  # Mir
]
SEPARATORS = ["", " ", "-", " - ", "\u2013", "\u00a0", "_", "/", "%20", "+", "."]


def _check_digit(number: str) -> str:
    total = 0
    for place, digit in enumerate(reversed(number)):
        doubled = int(digit) * 2 if place % 2 == 0 else int(digit)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


@st.composite
def cards(draw: st.DrawFn) -> str:
    start, lengths = draw(st.sampled_from(SCHEMES))
    length = draw(st.sampled_from(lengths))
    free = length - len(start) - 1
    middle = draw(st.text("0123456789", min_size=free, max_size=free))
    return start + middle + _check_digit(start + middle)


def _grouped(card: str, sizes: list[int], separator: str) -> str:
    groups, rest = [], card
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    return separator.join([*filter(None, groups), *([rest] if rest else [])])


@given(
    cards(),
    st.sampled_from([[4, 4, 4, 4], [4, 6], [6, 4], [4, 4, 4], [2, 2, 2, 2, 2, 2, 2, 2]]),
    st.sampled_from(SEPARATORS),
    st.sampled_from(["{}", "card {} declined", "pan={};", '{{"n": "{}"}}', "x{}y", "{},", "({})", "{}."]),
)
def test_card_is_blanked(card: str, sizes: list[int], separator: str, around: str) -> None:
    assert _logged(around.format(_grouped(card, sizes, separator))) == around.format("[card]")


@given(cards())
def test_card_that_is_a_number_is_blanked(card: str) -> None:
    assert redact_log_event(None, "", {"event": "x", "n": int(card)})["n"] == "[card]"


@given(
    st.floats(min_value=0, max_value=1e7, allow_nan=False),
    st.sampled_from(["succeeded in {}s: None", "took {} s", "{}", "elapsed={}, next", "after {} seconds."]),
)
def test_duration_stays(seconds: float, text: str) -> None:
    assert _logged(text.format(f"{seconds:.18f}"[:20])) == text.format(f"{seconds:.18f}"[:20])
    assert _logged(text.format(seconds)) == text.format(seconds)


@given(st.integers(200, 699), st.text("0123456789", min_size=10, max_size=16))
def test_duration_with_any_digits_stays(whole: int, fraction: str) -> None:
    text = f"Task sagas.advance succeeded in {whole}.{fraction}s: None"
    assert _logged(text) == text


@given(st.uuids(), st.uuids(version=4))
def test_id_stays(any_id: uuid.UUID, random_id: uuid.UUID) -> None:
    for text in (f"saga {random_id} finished", random_id.hex.replace("0", "a"), f"id={uuid7_like(any_id)}"):
        assert _logged(text) == text


def uuid7_like(value: uuid.UUID) -> uuid.UUID:
    return uuid.UUID(int=(value.int & ~(0xF << 76) & ~(0x3 << 62)) | (7 << 76) | (2 << 62))


@given(st.dates(dt.date(2020, 1, 1), dt.date(2099, 12, 31)), st.integers(0, 10**12 - 1))
def test_number_of_ours_stays(day: dt.date, number: int) -> None:
    for prefix in ("PAY", "REF"):
        text = f"{prefix}-{day:%Y%m%d}-{number:012d}"
        assert _logged(f"{text} paid") == f"{text} paid"


@given(st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2099, 12, 31)))  # noqa: DTZ001 - the zone is in the text
def test_moment_stays(moment: dt.datetime) -> None:
    seconds = moment.replace(tzinfo=dt.UTC).timestamp()
    for text in (
        f"{moment.isoformat()}Z",
        f"{moment:%Y-%m-%d %H:%M:%S.%f}",
        f"{moment:%Y%m%d%H%M%S}",
        f"{moment:%Y%m%dT%H%M%S.%fZ}",
        f"{seconds:.6f}",
        f"{int(seconds)}",
    ):
        assert _logged(f"at {text} it was") == f"at {text} it was"


@pytest.mark.parametrize("text", ["1764277702205", "1764277702205294", "1764277702205294000"])
def test_moment_in_fractions_of_a_second_stays(text: str) -> None:
    assert _logged(text) == text


def _logged(text: str) -> str:
    shown = redact_log_event(None, "", {"event": text})["event"]
    assert isinstance(shown, str)
    return json.loads(json.dumps(shown)) if "\\x" not in shown else shown.replace("\\xa0", "\u00a0")
