"""Installs the few modules of Alipay's SDK that the tests import, from its wheel: the whole is 36,000 files, 450 MB."""

import ast
import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

from scripts.local.errors import StackError

REQUIREMENT = "requirements-alipay-sdk.txt"
_API = "alipay.aop.api"
# The methods that the tests call. What these modules import comes with them.
METHODS = (
    "AlipayDataDataserviceBillDownloadurlQuery",
    "AlipayTradeClose",
    "AlipayTradeFastpayRefundQuery",
    "AlipayTradePagePay",
    "AlipayTradePrecreate",
    "AlipayTradeQuery",
    "AlipayTradeRefund",
    "AlipayTradeWapPay",
)
ROOTS = (
    f"{_API}.AlipayClientConfig",
    f"{_API}.DefaultAlipayClient",
    *(f"{_API}.request.{method}Request" for method in METHODS),
    *(f"{_API}.response.{method}Response" for method in METHODS),
)


def install_parts(python: Path, root: Path) -> None:
    """Nothing is done where the whole package is installed."""
    target = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    if any(target.glob("alipay_sdk_python-*.dist-info")):
        return
    with tempfile.TemporaryDirectory() as folder:
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:")
        _run(python, "-m", "pip", "download", *options, "--dest", folder, "-r", str(root / REQUIREMENT))
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(io.BytesIO(wheel.read_bytes())) as archive:
            archive.extractall(target, sorted(find_parts(archive)))


def find_parts(archive: zipfile.ZipFile) -> set[str]:
    """The files of the root modules, and of all modules of the package that they import, in turn."""
    files = set(archive.namelist())
    found: set[str] = set()
    missing = set(ROOTS)
    modules = list(ROOTS)
    while modules:
        module = modules.pop()
        path = module.replace(".", "/")
        file = next((each for each in (f"{path}.py", f"{path}/__init__.py") if each in files), None)
        if file is None or file in found:
            continue
        found.add(file)
        missing.discard(module)
        modules += _list_imports(ast.parse(archive.read(file)))
        modules += [".".join(module.split(".")[:length]) for length in range(1, module.count(".") + 1)]
    if missing:
        raise StackError(f"{REQUIREMENT}: the package has no {', '.join(sorted(missing))}.")
    return found


def _list_imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def _run(python: Path, *arguments: str) -> str:
    result = subprocess.run([str(python), *arguments], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise StackError(f"Alipay's SDK could not be installed:\n{result.stderr.strip()}")
    return result.stdout
