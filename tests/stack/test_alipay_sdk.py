"""Only the modules of Alipay's SDK that the tests need are taken from its wheel."""

import io
import zipfile

import pytest

from scripts.local import alipay_sdk
from scripts.local.alipay_sdk import ROOTS, find_parts
from scripts.local.errors import StackError


def build_wheel(**files: str) -> zipfile.ZipFile:
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as archive:
        for root in {*ROOTS} - {name.replace("__", ".") for name in files}:
            archive.writestr(f"{root.replace('.', '/')}.py", "")
        for name, text in files.items():
            archive.writestr(f"{name.replace('__', '/')}.py", text)
    return zipfile.ZipFile(stored)


def test_imports_of_needed_modules_are_included() -> None:
    wheel = build_wheel(
        alipay__aop__api__DefaultAlipayClient="from alipay.aop.api.util import WebUtils\nimport rsa\n",
        alipay__aop__api__util__WebUtils="from alipay.aop.api.constant.Names import *\n",
        alipay__aop__api__constant__Names="",
        alipay__aop__api__domain__Unused="",
    )
    found = find_parts(wheel)
    assert {f"alipay/aop/api/{name}.py" for name in ("util/WebUtils", "constant/Names")} < found
    assert "alipay/aop/api/domain/Unused.py" not in found


def test_a_wheel_without_a_needed_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alipay_sdk, "ROOTS", (*ROOTS, "alipay.aop.api.Missing"))
    with pytest.raises(StackError, match=r"alipay\.aop\.api\.Missing"):
        find_parts(build_wheel())
