"""The sandbox shares no code with the channel, so that each is a witness of the other."""

import ast
import sys
from pathlib import Path

import channels.wechat.sandbox

FOLDER = Path(channels.wechat.sandbox.__file__).parent
ALLOWED = ("channels.wechat.sandbox", "cryptography")


def test_the_sandbox_imports_only_itself_cryptography_and_the_standard_library() -> None:
    foreign = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            foreign |= {name for name in names if not _is_allowed(name)}
    assert not foreign


def _is_allowed(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] in sys.stdlib_module_names or any(
        module == allowed or module.startswith(f"{allowed}.") for allowed in ALLOWED
    )
