"""Scripts of faults, chosen by amount or by metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from channels.base import Declined, NotProcessed
from channels.simulator import faults
from channels.simulator.channel import SimulatorChannel
from tests.simulator.conftest import Shop

DOCUMENT = Path(__file__).parents[2] / "docs" / "SIMULATOR.md"


@pytest.mark.parametrize("amount", [1, 1_000, 5_000, 8_000, 9_900, 9_999, 10_000, 12_345, 19_900, 999_999])
def test_ordinary_amounts_have_no_fault(amount: int) -> None:
    assert faults.choose_script({}, amount) == faults.NORMAL


@pytest.mark.parametrize("fault", [*faults.BEHAVIOURS, *faults.NETWORK_FAULTS], ids=lambda fault: fault.name)
def test_an_amount_chooses_its_fault(fault: Any) -> None:
    if fault.amount_ends is not None:
        assert faults.choose_script({}, 70_000 + fault.amount_ends) == faults.parse_script(fault.name)


def test_no_amount_chooses_two_faults() -> None:
    ends = [fault.amount_ends for fault in (*faults.BEHAVIOURS, *faults.NETWORK_FAULTS) if fault.amount_ends]
    ends += [amount for _, amount in faults.SHORTHANDS.values()]
    assert len(set(ends)) == len(ends)
    assert all(9_900 < amount < 9_999 for amount in ends)


def test_metadata_wins_over_the_amount() -> None:
    assert faults.choose_script({"simulate": "auto_pay"}, 9_901).behaviours.keys() == {"auto_pay"}


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "decline*2",
        "refund:decline",
        "slow:-1",
        "slow:1e9",
        "slow:99999",
        "timeout_before:3",
        "timeout_before*0",
        "timeout_before*many",
        "pay:slow",
        "timeout_before,reset",
        "timeout_after_charge:5",
        "refund:timeout_after_charge",
        "decline;drop",
        "超时",
        "slow:١",
        "a" * 500,
    ],
)
def test_a_typo_is_refused_before_anything_is_written(
    channel: SimulatorChannel, shop: Shop, text: str
) -> None:
    declined: list[Callable[[], Any]] = [
        lambda: channel.create_payment(shop.creation(text)),
        lambda: channel.refund_payment(shop.refund("PAY-1", metadata={"simulate": text})),
    ]
    for call in declined:
        answer = call()
        assert isinstance(answer, Declined)
        assert answer.code == "invalid_simulation"


@pytest.mark.django_db(databases=["default", "simulator"])
def test_unreachable_is_not_processed(channel: SimulatorChannel, shop: Shop) -> None:
    assert isinstance(channel.create_payment(shop.creation("unreachable")), NotProcessed)


def test_every_fault_is_documented() -> None:
    document = DOCUMENT.read_text()
    for fault in (*faults.BEHAVIOURS, *faults.NETWORK_FAULTS):
        ends = f"`{fault.amount_ends}`" if fault.amount_ends else ""
        default = f"{fault.seconds:g} s" if fault.seconds else ""
        assert f"| `{fault.name}` | {ends} | {default} | {fault.meaning} |".replace("|  |", "| |") in document
    for name, (meaning, ends) in faults.SHORTHANDS.items():
        assert f"| `{name}` | `{ends}` | | short for `{meaning}` |" in document
