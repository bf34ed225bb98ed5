from settlements.models.cases import CaseKind, CaseResolution, CaseState, SettlementCase
from settlements.models.days import SettlementDay
from settlements.models.expectations import ExpectationState, StatementExpectation
from settlements.models.fee_rates import ChannelFeeRate
from settlements.models.statements import (
    FileState,
    LineKind,
    LineState,
    StatementFile,
    StatementFormat,
    StatementLine,
)

__all__ = [
    "CaseKind",
    "CaseResolution",
    "CaseState",
    "ChannelFeeRate",
    "ExpectationState",
    "FileState",
    "LineKind",
    "LineState",
    "SettlementCase",
    "SettlementDay",
    "StatementExpectation",
    "StatementFile",
    "StatementFormat",
    "StatementLine",
]
