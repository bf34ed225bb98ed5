"""Validates the details of a bank account, seals them, and shows only their ends."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import ModuleType

from django.utils.translation import gettext as _
from stdnum import bic, iban
from stdnum.exceptions import InvalidFormat, ValidationError

from common.crypto import seal, unseal
from common.errors import FieldsRefused
from common.money import EXPONENTS
from payouts.models import BankAccountKind

MAX_HOLDER_LENGTH = 70  # of a name in pain.001 (Max70Text is what SEPA takes)
_CNAPS_CODE = re.compile(r"[0-9]{12}")
_ACCOUNT_NO = re.compile(r"[0-9]{8,32}")
_SHOWN_DIGITS = 4


@dataclass(frozen=True, slots=True)
class BankDetails:
    """`account_no` is an IBAN, or a number of digits. `bank_code` is a BIC (may be empty) or a CNAPS code. Never log
    it."""

    kind: str
    holder: str
    account_no: str
    bank_code: str = ""

    def __repr__(self) -> str:
        return f"BankDetails({self.hint})"

    @property
    def hint(self) -> str:
        head = self.account_no[:_SHOWN_DIGITS] if self.kind == BankAccountKind.IBAN else ""
        return f"{head}…{self.account_no[-_SHOWN_DIGITS:]}"


def validate_bank_details(given: Mapping[str, str]) -> BankDetails:
    """Raises `FieldsRefused`, which repeats no value."""
    kind = given.get("kind", "")
    holder = " ".join(given.get("holder", "").split())
    account_no = re.sub(r"\s", "", given.get("account_no", "")).upper()
    bank_code = re.sub(r"\s", "", given.get("bank_code", "")).upper()
    wrong = {}
    if kind not in BankAccountKind.values:
        wrong["kind"] = _("Choose one of: %(choices)s.") % {"choices": ", ".join(BankAccountKind.values)}
    if not holder or len(holder) > MAX_HOLDER_LENGTH or not holder.isprintable():
        wrong["holder"] = _("Give the name of the account's holder, at most %(max)d characters.") % {
            "max": MAX_HOLDER_LENGTH
        }
    if kind == BankAccountKind.IBAN:
        try:
            account_no = _normalise(iban, account_no)
        except ValidationError:
            wrong["account_no"] = _("This is not a valid IBAN.")
        try:
            bank_code = bank_code and _normalise(bic, bank_code)
        except ValidationError:
            wrong["bank_code"] = _("This is not a valid BIC.")
    elif kind == BankAccountKind.CNAPS:
        wrong |= _find_wrong_chinese_account(account_no, bank_code)
    if wrong:
        raise FieldsRefused(wrong)
    return BankDetails(kind, holder, account_no, bank_code)


def require_known_currency(currency: str, kind: str) -> None:
    """Raises `FieldsRefused`."""
    if currency not in EXPONENTS:
        raise FieldsRefused({"currency": _("This currency is not known.")})
    if kind == BankAccountKind.CNAPS and currency != "CNY":
        raise FieldsRefused({"currency": _("An account with a CNAPS code takes CNY only.")})


def seal_bank_details(details: BankDetails) -> str:
    return seal(json.dumps(asdict(details)))


def unseal_bank_details(sealed: str) -> BankDetails:
    """Raises `SecretUnreadable`."""
    return BankDetails(**json.loads(unseal(sealed)))


def _normalise(standard: ModuleType, given: str) -> str:
    """As the bank gets it: stdnum reads over hyphens and full stops, and takes other digits than ASCII's for check
    digits. Raises `ValidationError`."""
    if not given.isascii():
        raise InvalidFormat
    return str(standard.validate(given))


def _find_wrong_chinese_account(account_no: str, bank_code: str) -> dict[str, str]:
    wrong = {}
    if not _ACCOUNT_NO.fullmatch(account_no):
        wrong["account_no"] = _("Give the number of the account: 8 to 32 digits.")
    if not _CNAPS_CODE.fullmatch(bank_code):
        wrong["bank_code"] = _("Give the CNAPS code of the branch: 12 digits.")
    return wrong
