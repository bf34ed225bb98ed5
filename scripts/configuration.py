"""Writes docs/CONFIGURATION.md from the places that read the environment.

    python -m scripts.configuration            # write
    python -m scripts.configuration --check    # exit 1 when the document is not current

The comment above a read, or beside it, is its description. A variable without one is an error, so that none stays
undocumented.
"""

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "CONFIGURATION.md"
# Every file of a production process that reads the environment, in the document's order, and its section there.
SOURCES = {
    "payment_platform/settings/base.py": "Installation",
    "payment_platform/settings/security.py": "Security",
    "payment_platform/settings/database.py": "PostgreSQL",
    "payment_platform/settings/redis.py": "Redis",
    "payment_platform/settings/celery.py": "Celery",
    "payment_platform/settings/sagas.py": "Sagas",
    "payment_platform/settings/channels.py": "Channels",
    "payment_platform/settings/payments.py": "Payments",
    "payment_platform/settings/payouts.py": "Payouts",
    "payment_platform/settings/idempotency.py": "Idempotency",
    "payment_platform/settings/api.py": "Rate limits",
    "payment_platform/settings/events.py": "Events and webhooks",
    "payment_platform/settings/email.py": "E-mail",
    "payment_platform/settings/staff.py": "Staff",
    "payment_platform/settings/single_sign_on.py": "Single sign-on",
    "payment_platform/settings/reports.py": "Reports",
    "payment_platform/settings/observability.py": "Metrics, traces and logs",
    "payment_platform/settings/applications.py": "Files",
    "payment_platform/gunicorn_conf.py": "Web processes",
    "payment_platform/admission.py": "Admission of requests",
    "payment_platform/web_worker.py": "Slow and hostile clients",
}
TYPES = {
    "str": "text",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "list, comma separated",
    "dict": "pairs, `name=value`, comma separated",
}
# On a deployed host; the local stack has defaults.
REQUIRED = {"SECRET_KEY", "PAYMENT_MASTER_KEYS", "SIMULATOR_WEBHOOK_SECRET"}
INTRODUCTION = """\
# Configuration

For operators. Every setting comes from the environment; a wrong value stops the process at start with a line that
names the variable. Sizes and times are in the unit that the name ends with.

This page is generated from the code by `python -m scripts.configuration`; a test keeps it current.

Names and values of the standard libraries apply too, such as `OTEL_…` for the trace exporter.
"""


class Undocumented(Exception):
    """A variable is read without a comment that describes it."""


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    kind: str
    default: str
    description: str
    section: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    wanted = document()
    if options.check:
        current = DOCUMENT.exists() and DOCUMENT.read_text() == wanted
        if not current:
            print(
                "docs/CONFIGURATION.md is not current: run python -m scripts.configuration", file=sys.stderr
            )
        return 0 if current else 1
    DOCUMENT.write_text(wanted)
    return 0


def document() -> str:
    """The whole text of the document. Raises `Undocumented`."""
    parts, section = [INTRODUCTION], ""
    for variable in variables():
        if variable.section != section:
            section = variable.section
            parts.append(
                f"\n## {section}\n\n| variable | type | default | meaning |\n| --- | --- | --- | --- |\n"
            )
        default = "**required**" if variable.name in REQUIRED else variable.default
        parts.append(f"| `{variable.name}` | {variable.kind} | {default} | {variable.description} |\n")
    return "".join(parts)


def variables() -> Iterator[Variable]:
    """The variables of all `SOURCES`, in their order. Raises `Undocumented`."""
    for path, section in SOURCES.items():
        source = (ROOT / path).read_text()
        comments = _comments(source)
        seen: set[str] = set()
        for call in _reads(ast.parse(source)):
            name = call.args[0].value  # type: ignore[attr-defined]
            if name in seen:
                continue
            seen.add(name)
            description = _description(source.splitlines(), comments, call)
            if not description:
                raise Undocumented(f"{path}:{call.lineno}: {name} has no comment that describes it")
            yield Variable(name, _kind(call), _default(call), description, section)


def _reads(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls such as `env.int("PORT", default=1)` and `os.environ.get("PORT", "1")`, in the order of the text."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        function = call.func
        if not (isinstance(function, ast.Attribute) and call.args and isinstance(call.args[0], ast.Constant)):
            continue
        owner = ast.unparse(function.value)
        if (owner == "env" and function.attr in TYPES) or (owner == "os.environ" and function.attr == "get"):
            yield call


def _kind(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Attribute)
    return TYPES.get(call.func.attr, "text")


def _default(call: ast.Call) -> str:
    given = next((word.value for word in call.keywords if word.arg == "default"), None)
    if given is None and len(call.args) > 1:
        given = call.args[1]
    if given is None or (isinstance(given, ast.Constant) and given.value in ("", None)):
        return "empty"
    if isinstance(given, ast.Constant):
        return f"`{given.value!s}`"
    text = ast.unparse(given)
    return "empty" if text in ("[]", "{}") else f"`{text}`"


def _comments(source: str) -> dict[int, str]:
    """Comments by line."""
    return {
        token.start[0]: token.string.removeprefix("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.startswith("# noqa")
    }


def _description(lines: list[str], comments: dict[int, str], call: ast.Call) -> str:
    beside = [
        comments[line]
        for line in range(call.lineno, (call.end_lineno or call.lineno) + 1)
        if line in comments
    ]
    above: list[str] = []
    # The statement may begin some lines before the call; its comment stands above that.
    line = call.lineno - 1
    while (
        line > 0 and line not in comments and lines[line - 1].strip() and not _ends_statement(lines[line - 1])
    ):
        line -= 1
    while line in comments and lines[line - 1].lstrip().startswith("#"):
        above.insert(0, comments[line])
        line -= 1
    return " ".join([*above, *beside]).replace("|", "\\|")


def _ends_statement(text: str) -> bool:
    return not text.rstrip().endswith(("(", "[", "{", ",", "=", "\\"))


if __name__ == "__main__":
    sys.exit(main())
