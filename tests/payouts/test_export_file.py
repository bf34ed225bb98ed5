"""The file for the bank: the accounts of live and test runs, and safety in a spreadsheet."""

import datetime as dt

import pytest

from payouts.bank_details import BankDetails
from payouts.export_file import Debtor, PayoutOrder, write_export_file

DEBTOR = Debtor("Platform", "DE75512108001245126199", "SOGEDEFFXXX")
IBAN = "DE89370400440532013000"


def write(*, environment: str, currency: str = "EUR", holder: str = "Acme GmbH") -> str:
    file = write_export_file(
        run_no="RUN-1",
        environment=environment,
        currency=currency,
        orders=[PayoutOrder("PO-1", 10_000, BankDetails("iban", holder, IBAN, "COBADEFFXXX"))],
        debtor=DEBTOR,
        created_at=dt.datetime(2026, 11, 28, tzinfo=dt.UTC),
    )
    return file.content.decode()


@pytest.mark.parametrize("currency", ["EUR", "USD"])
def test_a_test_run_names_no_account_that_exists(currency: str) -> None:
    assert IBAN in write(environment="live", currency=currency)
    content = write(environment="test", currency=currency)
    assert "TEST Acme GmbH" in content
    for real in (IBAN, DEBTOR.name, DEBTOR.iban, DEBTOR.bic, "COBADEFFXXX"):
        assert real not in content


@pytest.mark.parametrize("holder", ["=1+1", "\uff1d1+1", "0123"])
def test_a_holder_is_escaped_and_an_account_number_keeps_its_digits(holder: str) -> None:
    assert f"PO-1,'{holder},iban,{IBAN},COBADEFFXXX," in write(
        environment="live", currency="USD", holder=holder
    )
