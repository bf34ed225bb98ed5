"""Pictures of the back office for docs/BACKOFFICE.md, made from the demo data of a running local stack, and contact
sheets of the payment page for docs/CHANNELS.md, made from the pictures of its tests.

./scripts/start-all-services.sh
.venv/bin/python manage.py seed_demo --payments 500
.venv/bin/python -m scripts.screenshots                          # into docs/images/backoffice
.venv/bin/python -m scripts.screenshots --into /tmp/img --all    # every page in every look, contact sheets, problems
pngquant --force --ext .png docs/images/backoffice/*.png         # a third of the size

CHECKOUT_SCREENSHOTS=/tmp/shots ./scripts/test.sh tests/checkout/test_next_action_browser.py
.venv/bin/python -m scripts.screenshots --sheets /tmp/shots      # into docs/images/checkout
"""

import argparse
import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, sync_playwright
from playwright.sync_api import Error as BrowserError

from scripts.local.config import ROOT, Stack
from scripts.page_problems import find_problems
from scripts.screenshot_pages import PAGES

SCREEN, DESKTOP, PHONE = (1280, 860), (1440, 900), (390, 844)
LOGIN = "/admin/login/?next=/admin/"
PATIENCE_MILLISECONDS = 60_000  # the stack and the browser share two cores
SHEET_STYLE = (
    "body{margin:0;background:#8a93a3;display:flex;flex-wrap:wrap;align-items:start;font:11px sans-serif}"
    "figure{margin:6px}img{max-height:900px;object-fit:cover;object-position:top}figcaption{padding:3px;color:#fff}"
)


@dataclass(frozen=True, slots=True)
class Look:
    language: str = "en"
    theme: str = "light"
    size: tuple[int, int] = SCREEN

    def __str__(self) -> str:
        return f"{self.language}-{self.theme}-{self.size[0]}"


EVERY_LOOK = [
    Look(*each) for each in itertools.product(("en", "zh-hans"), ("light", "dark"), (DESKTOP, PHONE))
]
# What the document shows, each page in the look that shows the most.
IN_THE_DOCUMENT = {
    "dashboard": Look(),
    "payment": Look(),
    "saga": Look(theme="dark"),
    "saga-dialog": Look(),
    "payments": Look(language="zh-hans"),
    "merchant": Look(language="zh-hans", theme="dark"),
    "queue": Look(),
    "dispute": Look(theme="dark"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs" / "images" / "backoffice")
    parser.add_argument("--all", action="store_true", help="Every page, in every look.")
    parser.add_argument("--only", nargs="*", default=list(PAGES), choices=PAGES, metavar="PAGE")
    parser.add_argument("--looks", default="", help="With --all: looks whose name contains this.")
    parser.add_argument("--sheets", type=Path, metavar="FOLDER", help="Contact sheets of the pictures in it.")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default=os.environ.get("ADMIN_PASSWORD", "admin"))
    options = parser.parse_args()
    with sync_playwright() as playwright:
        if options.sheets:
            _make_checkout_sheets(playwright, options.sheets)
            return
        options.into.mkdir(parents=True, exist_ok=True)
        browser = _launch(playwright)
        problems = _take_all(browser, options) if options.all else _take_for_document(browser, options)
        browser.close()
    sys.exit(f"{problems} problems" if problems else 0)


def _take_for_document(browser: Browser, options: argparse.Namespace) -> int:
    for name, look in IN_THE_DOCUMENT.items():
        if name in options.only:
            page = _open_context(browser, look).new_page()
            _sign_in(page, options)
            _open(page, PAGES[name])
            page.screenshot(path=options.into / f"{name}.png")
            page.context.close()
    return 0


def _take_all(browser: Browser, options: argparse.Namespace) -> int:
    """Prints each problem. Returns how many there are. A page is opened once for both widths of a language and theme.
    The first of them finds the addresses of the pages to which a list leads."""
    count, addresses = 0, dict(PAGES)
    wanted = [look for look in EVERY_LOOK if options.looks in str(look)]
    for _pair, group in itertools.groupby(wanted, key=lambda look: (look.language, look.theme)):
        looks = list(group)
        context = _open_context(browser, looks[0])
        page = context.new_page()
        count += _take(page, "login", {"login": LOGIN}, looks, options)
        _sign_in(page, options)
        for name in options.only:
            count += _take(page, name, addresses, looks, options)
        context.close()
        for look in looks:
            _make_sheets(browser, options.into, look)
    return count


def _take(
    page: Page, name: str, addresses: dict[str, str], looks: Sequence[Look], options: argparse.Namespace
) -> int:
    """Takes the pictures of one page. What fails is a problem of this page, and does not end the run."""
    started, count, heard = time.monotonic(), 0, list[str]()
    is_whole_page = True  # a dialog covers what is on the screen
    stop_listening = _listen(page, heard)
    page.set_viewport_size({"width": looks[0].size[0], "height": looks[0].size[1]})
    try:
        is_whole_page = _open(page, addresses[name])
        if is_whole_page:
            addresses[name] = page.url
    except BrowserError as error:
        heard.append(f"not reached: {str(error).splitlines()[0]}")
    for look in looks:
        try:
            page.set_viewport_size({"width": look.size[0], "height": look.size[1]})
            found = [*heard, *find_problems(page, is_chinese=look.language != "en")]
            page.screenshot(path=options.into / f"{name}-{look}.png", full_page=is_whole_page)
        except BrowserError as error:
            found = [*heard, f"no picture: {str(error).splitlines()[0]}"]
        print(f"{name}-{look} ({time.monotonic() - started:.1f} s)", *found, sep="\n    ", flush=True)
        count += len(found)
    stop_listening()
    return count


def _listen(page: Page, heard: list[str]) -> Callable[[], None]:
    """Adds the complaints of the browser to `heard`, until the returned function is called."""

    def hear_error(error: BrowserError) -> None:
        heard.append(f"script: {error}")

    def hear_message(message: ConsoleMessage) -> None:
        heard.append(f"console: {message.text}")

    page.on("pageerror", hear_error)
    page.on("console", hear_message)

    def stop() -> None:
        page.remove_listener("pageerror", hear_error)
        page.remove_listener("console", hear_message)

    return stop


def _sign_in(page: Page, options: argparse.Namespace) -> None:
    page.goto(LOGIN)
    page.fill("input[name=username]", options.user)
    page.fill("input[name=password]", options.password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/admin/$"))


def _open_context(browser: Browser, look: Look) -> BrowserContext:
    url = Stack.saved(Stack.from_environment()).url
    context = browser.new_context(
        base_url=url,
        viewport={"width": look.size[0], "height": look.size[1]},
        color_scheme=look.theme,  # type: ignore[arg-type]  # a literal in disguise
        locale={"en": "en-US", "zh-hans": "zh-CN"}[look.language],
    )
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    context.add_cookies([{"name": "django_language", "value": look.language, "url": url}])
    return context


def _open(page: Page, way: str) -> bool:
    """Returns whether the address of the page leads to it alone: nothing was pressed that opens a dialog."""
    address, *presses = way.split("> ")
    is_address = True
    page.goto(address)
    for press in presses:
        pressed = page.locator("#result_list tbody th a" if press == "row" else press).first
        if pressed.get_attribute("data-dialog") is None and pressed.get_attribute("href"):
            page.goto(pressed.evaluate("link => link.href"))
        else:
            pressed.click()
            is_address = False
    page.evaluate("document.fonts.ready.then(() => true)")
    return is_address


def _make_sheets(browser: Browser, folder: Path, look: Look) -> None:
    """Contact sheets of all pictures of one look, 12 pages on each; 16 of phones."""
    pictures = sorted(folder.glob(f"[!_]*-{look}.png"))
    width, columns, rows = (460, 4, 3) if look.size is DESKTOP else (230, 8, 2)
    for first in range(0, len(pictures), columns * rows):
        some, number = pictures[first : first + columns * rows], 1 + first // (columns * rows)
        _make_sheet(browser, some, folder / f"_sheet-{look}-{number}.png", width, columns)


def _make_checkout_sheets(playwright: Playwright, pictures: Path) -> None:
    """One sheet for phones and one for desktops, with all pictures of the payment page side by side."""
    into = ROOT / "docs" / "images" / "checkout"
    into.mkdir(parents=True, exist_ok=True)
    browser = _launch(playwright)
    for device, width, columns in (("phone", 200, 6), ("desktop", 480, 3)):
        found = sorted(pictures.glob(f"{device}-*.png"))
        _make_sheet(browser, found, into / f"{device}.png", width, columns)
    browser.close()


def _make_sheet(browser: Browser, pictures: list[Path], sheet: Path, width: int, columns: int) -> None:
    page = browser.new_page(viewport={"width": (width + 12) * columns, "height": 600})
    figures = "".join(
        f"<figure><img src='{picture.as_uri()}' width={width}><figcaption>{picture.stem}</figcaption></figure>"
        for picture in pictures
    )
    html = sheet.with_suffix(".html")
    html.write_text(f"<style>{SHEET_STYLE}</style>{figures}")
    page.goto(html.as_uri())
    page.screenshot(path=sheet, full_page=True)
    html.unlink()
    page.close()


def _launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
    )


if __name__ == "__main__":
    main()
