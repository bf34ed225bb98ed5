"""`django.setup()` does not load what only pages need. The URLs do, and Django's checks."""

import subprocess
import sys

# The admin, PDF documents, passkeys, single sign-on and Django's test client, of which REST framework's and the OpenAPI
# generator's are made.
OF_PAGES = {"backoffice.approval_admin", "reportlab", "webauthn", "authlib", "django.test"}
START = """
import sys, django
django.setup()
print(*sys.modules)
"""
CHECK = """
import django
django.setup()
from django.contrib import admin
from django.core import checks
assert not admin.site._registry
checks.run_checks(tags=["admin"])
print(len(admin.site._registry))
"""


def test_setup_loads_no_pages() -> None:
    assert OF_PAGES.isdisjoint(_run(START).split())


def test_djangos_checks_see_every_page_of_the_admin() -> None:
    assert int(_run(CHECK)) > 0


def _run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
