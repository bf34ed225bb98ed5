"""The changes that mutmut would make to the functions of a file, one at a time. Each is a mutant.

Only mutmut's operators are used, which the project did not choose. mutmut itself skips every function with a decorator
and every class with one, so all dataclasses and all `@transaction.atomic` services; here they are changed, too.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

# Texts of the log, and checks for programmers: no behaviour that a user could see.
SKIPPED_STATEMENT = re.compile(r"\s*(log\.\w+\(|raise AssertionError|assert\b)")
# As mutmut does: most changes of their arguments fail at once.
SKIPPED_CALLS = ("len", "isinstance", "gettext", "_")
SIMPLE_DEFAULTS = (cst.Name, cst.BaseNumber, cst.BaseString)
SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Mutant:
    """`name` is unique, and stays when lines move. `line` is that of the innermost statement around the change;
    `source` is the whole changed function without its decorators."""

    name: str
    file: str
    function: str
    function_line: int
    line: int
    source: str


@dataclass(frozen=True, slots=True)
class _Change:
    line: int
    before: cst.CSTNode
    after: cst.CSTNode


def make_mutants(file: str, source: str) -> list[Mutant]:
    wrapper = MetadataWrapper(cst.parse_module(source))
    positions = wrapper.resolve(PositionProvider)
    mutants: list[Mutant] = []
    seen: Counter[str] = Counter()
    for function, qualified_name in _find_functions(wrapper.module.body):
        collector = _Collector(wrapper.module, positions)
        function.visit(collector)
        for change in collector.changes:
            name = f"{qualified_name}: {_describe(wrapper.module, change)}"
            seen[name] += 1
            changed = function.deep_replace(change.before, change.after)
            assert isinstance(changed, cst.FunctionDef)
            mutants.append(
                Mutant(
                    name=name if seen[name] == 1 else f"{name} ({seen[name]})",
                    file=file,
                    function=qualified_name,
                    function_line=positions[function].start.line,
                    line=change.line,
                    source=cst.Module([changed.with_changes(decorators=[], leading_lines=[])]).code,
                )
            )
    return mutants


def _find_functions(body: Sequence[cst.CSTNode], outside: str = "") -> Iterator[tuple[cst.FunctionDef, str]]:
    for statement in body:
        if isinstance(statement, cst.FunctionDef):
            yield statement, f"{outside}{statement.name.value}"
        elif isinstance(statement, cst.ClassDef):
            yield from _find_functions(statement.body.body, f"{outside}{statement.name.value}.")


class _Collector(cst.CSTVisitor):
    """Collects all changes inside one function."""

    def __init__(self, module: cst.Module, positions: Mapping[cst.CSTNode, CodeRange]) -> None:
        super().__init__()
        self.changes: list[_Change] = []
        self._module, self._positions = module, positions
        self._lines: list[int] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._is_skipped(node):
            return False
        if isinstance(node, cst.BaseStatement):
            self._lines.append(self._positions[node].start.line)
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.changes += [_Change(self._lines[-1], node, after) for after in operator(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.BaseStatement) and not self._is_skipped(original_node):
            self._lines.pop()

    def _is_skipped(self, node: cst.CSTNode) -> bool:
        match node:
            case cst.Decorator() | cst.Annotation():
                return True
            case cst.SimpleStatementLine(
                body=[cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString())]
            ):
                return True  # a docstring
            case cst.SimpleStatementLine():
                return bool(SKIPPED_STATEMENT.match(self._module.code_for_node(node)))
            case cst.Call(func=cst.Name(value=name)):
                return name in SKIPPED_CALLS
            case cst.Param(default=default):
                return default is not None and not isinstance(default, SIMPLE_DEFAULTS)
        return False


def _describe(module: cst.Module, change: _Change) -> str:
    """The code before and after, around the first difference."""
    before, after = (" ".join(module.code_for_node(node).split()) for node in (change.before, change.after))
    if max(len(before), len(after)) <= SHOWN_CHARACTERS:
        return f"{before} → {after}"
    same = next(
        (place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    begin = max(0, same - SHOWN_CHARACTERS // 3)
    return f"{_cut(before, begin)} → {_cut(after, begin)}"


def _cut(text: str, begin: int) -> str:
    end = begin + SHOWN_CHARACTERS
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if len(text) > end else ''}"
