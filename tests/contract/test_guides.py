"""The guides are served with the API, need no internet, and their examples work."""

import ast
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from common.errors import Retry
from demo.quick_start import seed_demo
from events import catalogue
from gateway.models import Payment
from merchants.services import NewMerchant
from merchants.services.demo import seed_demo_merchant
from payment_platform.api_docs.errors import documented_errors, error_codes, errors_page
from payment_platform.api_docs.guides import GUIDES
from tests.contract.document import run

DOCS = Path(settings.BASE_DIR, "docs")
SIGNING = (DOCS / "SIGNING.md").read_text()
VECTOR = re.search(r"signature is `(v1=[0-9a-f]{64})`", SIGNING).group(1)
NODE = Path(sys.executable).with_name("node")
# The command that runs a sample, by the language of its code block. A sample is skipped if its command is missing.
LANGUAGES: dict[str, tuple[str, list[str | Path]]] = {
    "bash": ("sign.sh", ["bash"]),
    "python": ("sign.py", [sys.executable]),
    "javascript": ("sign.mjs", [NODE]),
    "java": ("Sign.java", ["java"]),
    "go": ("sign.go", ["go", "run"]),
    "php": ("sign.php", ["php"]),
}
INSTALLED = [name for name, (_file, command) in LANGUAGES.items() if shutil.which(command[0])]


def fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.S | re.M)


def shell(script: str, cwd: Path, **environment: str) -> str:
    return run("bash", "-euc", script, cwd=cwd, NO_PROXY="*", no_proxy="*", **environment)


# --- Served -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_a_page_that_needs_no_internet(name: str) -> None:
    answer = Client().get(f"/api/docs/{name}")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "<h1>" in page
    assert not re.findall(r'(?:src|<link[^>]* href)="(?!/)', page)
    for address in re.findall(r'href="(/api/docs[^"#]*)"', page):
        assert Client().get(address).status_code == 200, address


def test_only_guides_are_served() -> None:
    for address in ("/api/docs/operations", "/api/docs/events/nonsense.schema.json", "/api/docs/SIGNING.md"):
        assert Client().get(address).status_code == 404
    for event_type in catalogue.ALL_TYPES:
        assert Client().get(f"/api/docs/events/{event_type}.schema.json").json()["title"] == event_type


# --- Errors -----------------------------------------------------------------------------------------------------


def test_the_reference_of_errors_is_current() -> None:
    assert (DOCS / "ERRORS.md").read_text() == errors_page(), "run: manage.py write_api_docs"


def test_every_error_documents_its_fix_and_whether_to_retry() -> None:
    for error in documented_errors():
        assert error.advice.endswith("."), error
        assert isinstance(error.retry, Retry), error
    for attribute in ("code", "error_code"):
        values = [getattr(error, attribute) for error in documented_errors()]
        assert len(values) == len(set(values))
    assert all(
        400 <= error.status < 600 and error.code // 100 == error.status for error in documented_errors()
    )


def test_every_error_class_of_the_source_is_listed() -> None:
    """The test reads the source, so that it also finds a class in a module that is not imported."""
    root = Path(settings.BASE_DIR)
    written = set()
    for file in root.glob("*/**/*.py"):
        if file.relative_to(root).parts[0] in (".venv", ".local", "tests", "benchmarks"):
            continue
        written |= set(_error_codes_in(file.read_text()))
    assert written == set(error_codes())


def _error_codes_in(source: str) -> Iterator[str]:
    """`error_code = "x"` and `status, code, error_code = 400, 40000, "x"` in classes."""
    if "error_code" not in source:
        return
    for each in ast.walk(ast.parse(source)):
        if isinstance(each, ast.ClassDef):
            for line in each.body:
                if isinstance(line, ast.Assign) and "error_code" in ast.unparse(line.targets[0]):
                    yield from re.findall(r"'([a-z_]+)'", ast.unparse(line.value))


# --- Signing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", INSTALLED)
def test_a_sample_signs_the_test_vector(language: str, tmp_path: Path) -> None:
    file, command = LANGUAGES[language]
    (sample,) = fences(SIGNING, language)
    (tmp_path / file).write_text(sample)
    assert run(*command, file, cwd=tmp_path).strip() == VECTOR


def test_the_languages_of_this_machine_are_run() -> None:
    assert {"bash", "python", "javascript"} <= set(INSTALLED)
    assert all(len(fences(SIGNING, language)) == 1 for language in LANGUAGES)


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
def test_the_curl_sample_pays(acme: NewMerchant, live_server: Any, tmp_path: Path) -> None:
    (sample,) = fences(SIGNING, "sh")
    key = acme.test_key
    result = json.loads(shell(sample, tmp_path, KEY=key.key, SECRET=key.secret, BASE_URL=live_server.url))
    assert result["code"] == 0, result
    assert Payment.objects.get().payment_no == result["data"]["payment_no"]


# --- README -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True, databases=["default", "simulator"])
@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_pasted_twice_repeats(name: str, live_server: Any, tmp_path: Path) -> None:
    """Both blocks are pasted twice into one shell: they make one payment, and each refund once."""
    seed_demo_merchant()
    seed_demo(admin_password="admin")
    blocks = [block for block in fences(Path(settings.BASE_DIR, name).read_text(), "bash") if "curl" in block]
    assert len(blocks) == 2
    for block in blocks:
        here = block.replace("http://localhost:40003", live_server.url).replace(
            "curl -X", "curl -sS -w '\\n' -X"
        )
        lines = shell(f"{here}\n{here}", tmp_path).strip().splitlines()
        assert lines[: len(lines) // 2] == lines[len(lines) // 2 :], lines
    pasted = Payment.objects.exclude(payment_no="PAY-existing-payment-123")
    existing = Payment.objects.get(payment_no="PAY-existing-payment-123")
    assert (pasted.count(), existing.refunded_minor) == (1, 5_000)
