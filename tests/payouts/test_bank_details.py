"""The details of a bank account, as staff type them and as the bank reads them."""

import pytest

from common.errors import FieldsRefused
from payouts.bank_details import validate_bank_details

PLAIN = "DE89370400440532013000"


def test_punctuation_does_not_reach_the_bank() -> None:
    """An IBAN or BIC in pain.001 has letters and digits only: one hyphen makes the bank refuse the whole file."""
    for account_no, bank_code in (
        ("DE89-3704.0044 0532 0130 00", "COBA-DEFF-XXX"),
        (PLAIN.lower(), "cobadeffxxx"),
    ):
        given = {"kind": "iban", "holder": "Acme GmbH", "account_no": account_no, "bank_code": bank_code}
        details = validate_bank_details(given)
        assert (details.account_no, details.bank_code) == (PLAIN, "COBADEFFXXX")
        assert details.hint == "DE89…3000"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("account_no", PLAIN.replace("89", "٨٩", 1)),
        ("account_no", PLAIN.replace("89", "88", 1)),
        ("bank_code", "COBADEF"),
        ("bank_code", "ＣOBADEFF"),
    ],
)
def test_details_that_the_bank_cannot_read_are_refused(field: str, value: str) -> None:
    given = {"kind": "iban", "holder": "Acme GmbH", "account_no": PLAIN, "bank_code": "COBADEFF"}
    with pytest.raises(FieldsRefused) as refused:
        validate_bank_details({**given, field: value})
    assert list(refused.value.fields) == [field]
