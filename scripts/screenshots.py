"""Pictures of the back office for docs/BACKOFFICE.md, made from the demo data of a running local stack.

./scripts/start-all-services.sh
.venv/bin/python manage.py seed_demo --payments 500
.venv/bin/python -m scripts.screenshots                          # into docs/img
.venv/bin/python -m scripts.screenshots --into /tmp/img --all    # every page, both languages, day and night
"""

import argparse
import os
import re
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from scripts.local.config import ROOT, Stack

SIZE = {"width": 1360, "height": 850}
PAGES = {
    "home": "/",
    "dashboard": "/admin/",
    "payments": "/admin/gateway/payment/",
    "payment": "/admin/gateway/payment/>",
    "refunds": "/admin/gateway/refund/",
    "sagas": "/admin/sagas/sagainstance/?needs_attention__exact=1",
    "saga": "/admin/sagas/sagainstance/?needs_attention__exact=1>",
    "merchants": "/admin/merchants/merchant/",
    "merchant": "/admin/merchants/merchant/>",
    "new-merchant": "/admin/merchants/merchant/create/",
    "key": "/admin/merchants/apikey/>",
    "exports": "/admin/exports/export/",
    "new-export": "/admin/exports/export/new/",
    "staff": "/admin/auth/user/",
    "roles": "/admin/auth/group/",
    "audit": "/admin/ops/staffaction/",
    "second-factor": "/admin/second-factor/",
}
IN_THE_DOCUMENT = ("home", "dashboard", "payments", "payment", "saga", "merchant", "new-export")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "img")
    parser.add_argument(
        "--all", action="store_true", help="Every page in both languages, by day and by night."
    )
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default=os.environ.get("ADMIN_PASSWORD", "admin"))
    options = parser.parse_args()
    options.into.mkdir(parents=True, exist_ok=True)
    url = Stack.saved(Stack.from_environment()).url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for language, theme in _variants(options.all):
            page = _signed_in(browser, url, language, theme, options.user, options.password)
            for name in PAGES if options.all else IN_THE_DOCUMENT:
                suffix = f"-{language}-{theme}" if options.all else ""
                _open(page, url, PAGES[name])
                page.screenshot(path=options.into / f"{name}{suffix}.png")
                print(f"{name}{suffix}: {page.title()}", flush=True)
        browser.close()


def _variants(everything: bool) -> Iterator[tuple[str, str]]:
    for language in ("en", "zh-hans") if everything else ("en",):
        for theme in ("light", "dark") if everything else ("light",):
            yield language, theme


def _signed_in(browser: Browser, url: str, language: str, theme: str, user: str, password: str) -> Page:
    context = browser.new_context(viewport=SIZE, color_scheme=theme, locale=language)
    context.add_cookies([{"name": "django_language", "value": language, "url": url}])
    page = context.new_page()
    page.goto(f"{url}/admin/login/?next=/admin/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/admin/$"))
    return page


def _open(page: Page, url: str, address: str) -> None:
    """`>` at the end: the first row of that list."""
    page.goto(url + address.rstrip(">"))
    if address.endswith(">"):
        page.goto(url + str(page.locator("#result_list tbody tr th a").first.get_attribute("href")))
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
