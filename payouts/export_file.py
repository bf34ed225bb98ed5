"""Writes the file that instructs the bank to pay a run: pain.001 for euros to IBANs, else CSV (docs/PAYOUTS.md).

The same payouts always give the same bytes. So the file can be named by its hash, and written again to be compared.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

from common.money import to_major_text
from common.spreadsheets import escape_formula, format_csv
from merchants.models import Environment
from payouts.bank_details import MAX_HOLDER_LENGTH, BankDetails
from payouts.models import BankAccountKind

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
CSV_COLUMNS = ("payout_no", "holder", "account_kind", "account_no", "bank_code", "amount", "currency")
# In the place of each account of a test run: no country has ZZ, so no bank can pay from it or to it.
TEST_ACCOUNT_NO = "ZZ00TEST"


@dataclass(frozen=True, slots=True)
class Debtor:
    """The platform's own bank account, from which it pays."""

    name: str
    iban: str
    bic: str


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """One line of the file."""

    payout_no: str
    amount_minor: int
    details: BankDetails


@dataclass(frozen=True, slots=True)
class ExportFile:
    name: str
    media_type: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def write_export_file(
    *,
    run_no: str,
    environment: str,
    currency: str,
    orders: Sequence[PayoutOrder],
    debtor: Debtor,
    created_at: dt.datetime,
) -> ExportFile:
    """The file of a test run has the form of a live one, and no account that exists."""
    if environment != Environment.LIVE:
        debtor = _mask_debtor(debtor)
        orders = [_mask_order(order) for order in orders]
    is_sepa = (
        currency == "EUR"
        and debtor.iban != ""
        and all(order.details.kind == BankAccountKind.IBAN for order in orders)
    )
    if is_sepa:
        return ExportFile(
            f"{run_no}.xml", "application/xml", _write_pain001(run_no, orders, debtor, created_at)
        )
    return ExportFile(f"{run_no}.csv", "text/csv", _write_csv(currency, orders))


def _mask_debtor(debtor: Debtor) -> Debtor:
    return Debtor("TEST", TEST_ACCOUNT_NO if debtor.iban else "", "")


def _mask_order(order: PayoutOrder) -> PayoutOrder:
    holder = f"TEST {order.details.holder}"[:MAX_HOLDER_LENGTH]
    details = replace(order.details, holder=holder, account_no=TEST_ACCOUNT_NO, bank_code="")
    return replace(order, details=details)


def _write_pain001(
    run_no: str, orders: Sequence[PayoutOrder], debtor: Debtor, created_at: dt.datetime
) -> bytes:
    """pain.001.001.09. The bank refuses a second file with the same `MsgId`."""
    total = to_major_text(sum(order.amount_minor for order in orders), "EUR")
    root = ET.Element("Document", {"xmlns": NAMESPACE})
    initiation = ET.SubElement(root, "CstmrCdtTrfInitn")
    header = ET.SubElement(initiation, "GrpHdr")
    _add(header, "MsgId", run_no)
    _add(header, "CreDtTm", created_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(header, "NbOfTxs", str(len(orders)))
    _add(header, "CtrlSum", total)
    _add(ET.SubElement(header, "InitgPty"), "Nm", debtor.name)
    batch = ET.SubElement(initiation, "PmtInf")
    _add(batch, "PmtInfId", run_no)
    _add(batch, "PmtMtd", "TRF")
    _add(batch, "NbOfTxs", str(len(orders)))
    _add(batch, "CtrlSum", total)
    _add(ET.SubElement(ET.SubElement(batch, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    _add(ET.SubElement(batch, "ReqdExctnDt"), "Dt", created_at.astimezone(dt.UTC).date().isoformat())
    _add(ET.SubElement(batch, "Dbtr"), "Nm", debtor.name)
    _add(ET.SubElement(ET.SubElement(batch, "DbtrAcct"), "Id"), "IBAN", debtor.iban)
    _add_bank(ET.SubElement(batch, "DbtrAgt"), debtor.bic)
    _add(batch, "ChrgBr", "SLEV")
    for order in orders:
        _add_order(batch, order)
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _add_order(batch: ET.Element, order: PayoutOrder) -> None:
    transfer = ET.SubElement(batch, "CdtTrfTxInf")
    _add(ET.SubElement(transfer, "PmtId"), "EndToEndId", order.payout_no)
    amount = ET.SubElement(ET.SubElement(transfer, "Amt"), "InstdAmt", {"Ccy": "EUR"})
    amount.text = to_major_text(order.amount_minor, "EUR")
    if order.details.bank_code:
        _add_bank(ET.SubElement(transfer, "CdtrAgt"), order.details.bank_code)
    _add(ET.SubElement(transfer, "Cdtr"), "Nm", order.details.holder)
    _add(ET.SubElement(ET.SubElement(transfer, "CdtrAcct"), "Id"), "IBAN", order.details.account_no)
    _add(ET.SubElement(transfer, "RmtInf"), "Ustrd", order.payout_no)


def _add_bank(parent: ET.Element, bic: str) -> None:
    bank = ET.SubElement(parent, "FinInstnId")
    if bic:
        _add(bank, "BICFI", bic)
    else:
        _add(ET.SubElement(bank, "Othr"), "Id", "NOTPROVIDED")


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _write_csv(currency: str, orders: Sequence[PayoutOrder]) -> bytes:
    """Account numbers and bank codes are not escaped: banks read them, they are validated as letters and digits, and a
    quote in front would make them wrong. A spreadsheet may round them, so give the file to the bank unopened."""
    rows = [
        (
            order.payout_no,
            escape_formula(order.details.holder),
            order.details.kind,
            order.details.account_no,
            order.details.bank_code,
            to_major_text(order.amount_minor, currency),
            currency,
        )
        for order in orders
    ]
    return format_csv([CSV_COLUMNS, *rows]).encode()
