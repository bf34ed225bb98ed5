"""Pictures of the back office for docs/BACKOFFICE.md, made from the demo data of a running local stack, and contact
sheets of the payment page for docs/CHANNELS.md, made from the pictures of its tests.

./scripts/start-all-services.sh
.venv/bin/python manage.py seed_demo --payments 500
.venv/bin/python -m scripts.screenshots                          # into docs/images/backoffice
.venv/bin/python -m scripts.screenshots --into /tmp/img --all    # every page in every look
pngquant --force --ext .png docs/images/backoffice/*.png         # a third of the size

CHECKOUT_SCREENSHOTS=/tmp/shots ./scripts/test.sh tests/checkout/test_next_action_browser.py
.venv/bin/python -m scripts.screenshots --sheets /tmp/shots      # into docs/images/checkout
"""

import argparse
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from scripts.local.config import ROOT, Stack

SCREEN, PHONE = (1280, 860), (390, 844)
SAGAS = "/admin/sagas/sagainstance/?needs_attention__exact=1"
PAGES = {
    "home": "/",
    "docs": "/api/docs",
    "dashboard": "/admin/?range=30d",
    "queue": "/admin/queue/",
    "payments": "/admin/gateway/payment/",
    "payment": "/admin/gateway/refund/?status__exact=succeeded> th a> #content-main a[href*='gateway/payment']",
    "refund-dialog": "/admin/gateway/payment/?status__exact=succeeded> th a> [data-dialog=refund-dialog]",
    "payment-in-review": "/admin/gateway/payment/?needs_attention__exact=1> th a",
    "refunds": "/admin/gateway/refund/",
    "refund": "/admin/gateway/refund/> th a",
    "orders": "/admin/orders/order/",
    "order": "/admin/orders/order/> th a",
    "sagas": SAGAS,
    "saga": f"{SAGAS}> th a",
    "saga-dialog": f"{SAGAS}> th a> text=More actions> [data-dialog=mark_resolved-dialog]",
    "saga-retried": "/admin/sagas/sagainstance/?status__exact=compensated> th a",
    "approvals": "/admin/approvals/approval/",
    "approval": "/admin/approvals/approval/?state__exact=pending> th a",
    "channel-events": "/admin/gateway/channelevent/",
    "events": "/admin/events/outboxevent/",
    "deliveries": "/admin/webhooks/webhookdelivery/",
    "delivery": "/admin/webhooks/webhookdelivery/> th a",
    "merchants": "/admin/merchants/merchant/",
    "merchant": "/admin/merchants/merchant/?q=coffee@demo.example> th a",
    "new-merchant": "/admin/merchants/merchant/create/",
    "key": "/admin/merchants/apikey/> th a",
    "exports": "/admin/exports/export/",
    "new-export": "/admin/exports/export/new/",
    "staff": "/admin/auth/user/",
    "roles": "/admin/auth/group/",
    "audit": "/admin/audit/staffaction/",
    "consistency": "/admin/monitoring/consistencyrun/",
    "consistency-run": "/admin/monitoring/consistencyrun/> th a",
    "second-factor": "/admin/second-factor/",
}
ON_A_PHONE = (
    "dashboard",
    "queue",
    "payments",
    "payment",
    "saga",
    "refund",
    "order",
    "merchant",
    "delivery",
    "approval",
)


SHEET_STYLE = (
    "body{margin:0;background:#8a93a3;display:flex;flex-wrap:wrap;align-items:start;font:11px sans-serif}"
    "figure{margin:6px}figcaption{padding:3px;color:#fff}"
)


@dataclass(frozen=True, slots=True)
class Look:
    language: str = "en"
    theme: str = "light"
    size: tuple[int, int] = SCREEN


# What the document shows, each page in the look that shows the most.
IN_THE_DOCUMENT = {
    "dashboard": Look(),
    "payment": Look(),
    "saga": Look(theme="dark"),
    "saga-dialog": Look(),
    "payments": Look(language="zh-hans"),
    "merchant": Look(language="zh-hans", theme="dark"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images" / "backoffice")
    parser.add_argument("--all", action="store_true", help="Every page, in every look.")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="Contact sheets of the pictures in it.")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default=os.environ.get("ADMIN_PASSWORD", "admin"))
    options = parser.parse_args()
    if options.sheets:
        _make_contact_sheets(options.sheets, ROOT / "docs" / "images" / "checkout")
        return
    options.into.mkdir(parents=True, exist_ok=True)
    url = Stack.saved(Stack.from_environment()).url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for look, names in _every_look() if options.all else _document():
            context = _context(browser, url, look)
            suffix = f"-{look.language}-{look.theme}-{look.size[0]}" if options.all else ""
            page = _at_the_door(context, options.user)
            if options.all:
                page.screenshot(path=options.into / f"login{suffix}.png")
            _enter(page, options.password)
            for name in (name for name in names if name in options.only):
                _open(page, PAGES[name])
                page.screenshot(path=options.into / f"{name}{suffix}.png", full_page=options.all)
                print(f"{name}{suffix}: {page.title()}", flush=True)
            context.close()
        browser.close()


def _make_contact_sheets(pictures: Path, into: Path) -> None:
    """One sheet for phones and one for desktops, with all pictures of the payment page side by side."""
    into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        for device, width in (("phone", 200), ("desktop", 480)):
            page = browser.new_page(
                viewport={"width": (width + 12) * (6 if device == "phone" else 3), "height": 600}
            )
            figures = "".join(
                f"<figure><img src='{picture.as_uri()}' width={width}><figcaption>{picture.stem}</figcaption></figure>"
                for picture in sorted(pictures.glob(f"{device}-*.png"))
            )
            sheet = pictures / f"{device}.html"
            sheet.write_text(f"<style>{SHEET_STYLE}</style>{figures}")
            page.goto(sheet.as_uri())
            page.screenshot(path=into / f"{device}.png", full_page=True)
        browser.close()


def _every_look() -> Iterator[tuple[Look, tuple[str, ...]]]:
    for language in ("en", "zh-hans"):
        for theme in ("light", "dark"):
            yield Look(language, theme), tuple(PAGES)
    yield Look("zh-hans", size=PHONE), ON_A_PHONE


def _document() -> Iterator[tuple[Look, tuple[str, ...]]]:
    for name, look in IN_THE_DOCUMENT.items():
        yield look, (name,)


def _context(browser: Browser, url: str, look: Look) -> BrowserContext:
    context = browser.new_context(
        base_url=url,
        viewport={"width": look.size[0], "height": look.size[1]},
        color_scheme=look.theme,  # type: ignore[arg-type]  # a literal in disguise
        locale=look.language,
    )
    context.add_cookies([{"name": "django_language", "value": look.language, "url": url}])
    context.on("console", _complain)
    return context


def _complain(message: ConsoleMessage) -> None:
    if message.type in ("error", "warning"):
        print(f"CONSOLE {message.text} {message.location}", flush=True)


def _at_the_door(context: BrowserContext, user: str) -> Page:
    page = context.new_page()
    page.goto("/admin/login/?next=/admin/")
    page.fill("input[name=username]", user)
    return page


def _enter(page: Page, password: str) -> None:
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/admin/$"))


def _open(page: Page, way: str) -> None:
    """`>` leads on: `th a` to the first row of the list, else to what else is pressed there."""
    address, *presses = way.split("> ")
    page.goto(address)
    for press in presses:
        page.locator("#result_list th a" if press == "th a" else press).first.click()
        page.wait_for_load_state("load")
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    main()
