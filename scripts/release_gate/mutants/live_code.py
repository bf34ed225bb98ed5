"""Changes functions of a running process: their code objects are replaced, and restored afterwards. No file is written,
and nothing is imported again."""

import ast
import functools
import gc
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

HIT = "__mutation_hit__"


class LiveModule:
    """The functions of one module, also those that decorators hide, by qualified name."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.module: ModuleType = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        assert self.module.__file__ is not None
        self._source = Path(self.module.__file__).read_text()
        self._functions: dict[str, list[FunctionType]] = {}
        for function in _all_functions():
            if function.__code__.co_filename == self.module.__file__:
                self._functions.setdefault(function.__code__.co_qualname, []).append(function)
        package = file.partition("/")[0]
        self._caches = [
            cache
            for cache in gc.get_objects()
            if isinstance(cache, functools._lru_cache_wrapper)
            and str(cache.__module__).partition(".")[0] == package
        ]

    def find(self, name: str, line: int) -> list[FunctionType]:
        """A property and its setter have one name: the nearest to the line is meant."""
        found = self._functions.get(name, [])
        nearest = min((abs(each.__code__.co_firstlineno - line) for each in found), default=0)
        return [each for each in found if abs(each.__code__.co_firstlineno - line) == nearest]

    @contextmanager
    def changed(self, name: str, line: int, source: str) -> Iterator[None]:
        """Raises `ValueError` or `SyntaxError` when the source cannot replace the function."""
        functions = self.find(name, line)
        if not functions:
            raise ValueError(f"{self.file} has no function {name}")
        (node,) = ast.parse(source).body
        assert isinstance(node, ast.FunctionDef)
        ast.increment_lineno(node, line - node.lineno)
        with self._replaced([(function, _build(function, node)) for function in functions]):
            yield

    @contextmanager
    def recording(self, hit: Callable[[str, int], None]) -> Iterator[None]:
        """Meanwhile every statement of every function calls `hit` with file and line before it runs."""
        self.module.__dict__[HIT] = functools.partial(hit, self.file)
        replacements = []
        for name, node in _find_nodes(ast.parse(self._source).body):
            line = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            node.decorator_list = []
            marked = _Marker().visit(node)
            marked.body.insert(
                0, _mark(node)
            )  # a call uses the default values, which are on the line of `def`
            replacements += [(function, _build(function, marked)) for function in self.find(name, line)]
        with self._replaced(replacements):
            yield

    @contextmanager
    def _replaced(self, replacements: Sequence[tuple[FunctionType, FunctionType]]) -> Iterator[None]:
        kept = [(old, old.__code__, old.__defaults__, old.__kwdefaults__) for old, _new in replacements]
        for old, new in replacements:
            old.__code__, old.__defaults__, old.__kwdefaults__ = (
                new.__code__,
                new.__defaults__,
                new.__kwdefaults__,
            )
        self._clear_caches()
        try:
            yield
        finally:
            for old, code, defaults, kwdefaults in kept:
                old.__code__, old.__defaults__, old.__kwdefaults__ = code, defaults, kwdefaults
            self._clear_caches()

    def _clear_caches(self) -> None:
        for cache in self._caches:
            cache.cache_clear()


def _all_functions() -> list[FunctionType]:
    gc.unfreeze()  # the tests freeze what they have imported, which hides it here
    return [each for each in gc.get_objects() if isinstance(each, FunctionType)]


def _find_nodes(body: Sequence[ast.stmt], outside: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in body:
        if isinstance(node, ast.FunctionDef):
            yield f"{outside}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from _find_nodes(node.body, f"{outside}{node.name}.")


def _build(function: FunctionType, node: ast.FunctionDef) -> FunctionType:
    """A function of this source. A method that uses `super()` has its class as a free variable."""
    future = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    body: list[ast.stmt] = [node]
    if function.__code__.co_freevars == ("__class__",):
        (outer,) = ast.parse("def outer():\n    __class__ = None\n").body
        assert isinstance(outer, ast.FunctionDef)
        result = ast.Return(ast.Name(node.name, ast.Load()))
        outer.body += [node, result]
        body = [outer, *ast.parse(f"{node.name} = outer()").body]
    tree = ast.fix_missing_locations(ast.Module([future, *body], []))
    scope: dict[str, Any] = dict(function.__globals__)
    exec(compile(tree, function.__code__.co_filename, "exec"), scope)
    made = scope[node.name]
    assert isinstance(made, FunctionType)
    if len(made.__code__.co_freevars) != len(function.__code__.co_freevars):
        raise ValueError("the change uses other variables of the outer scope")
    return made


class _Marker(ast.NodeTransformer):
    """Puts a call of `__mutation_hit__` before each statement."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list):
                setattr(node, field, [each for one in statements for each in (_mark(one), one)])
        return node


def _mark(statement: ast.stmt) -> ast.stmt:
    call = ast.Call(ast.Name(HIT, ast.Load()), [ast.Constant(statement.lineno)], [])
    return ast.copy_location(ast.Expr(call), statement)
