"""A member of staff at a real browser, in a language and a theme. Uses pages by keyboard and mouse, as people do."""

import os
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, expect

from tests.support.waiting import PATIENCE_MILLISECONDS

# Folder for screenshots of the pages; empty: none are saved.
PICTURES = os.environ.get("OFFICE_PICTURES", "")
LOOKS = {
    "en-light": ("en", "light"),
    "zh-dark": ("zh-hans", "dark"),
    "zh-light": ("zh-hans", "light"),
    "en-dark": ("en", "dark"),
}
MOST_TABS = 120


class Desk:
    """`errors` are the errors of the browser: scripts that failed, and loads that the content policy refused."""

    def __init__(
        self, chromium: Browser, base_url: str, user: User, *, language: str = "en", theme: str = "light"
    ) -> None:
        entrance = Client()
        entrance.force_login(user)
        self.language, self.theme, self.base_url = language, theme, base_url
        self.context = chromium.new_context(
            base_url=base_url,
            locale={"en": "en-US", "zh-hans": "zh-CN"}[language],
            color_scheme=theme,  # type: ignore[arg-type]
            viewport={"width": 1440, "height": 900},
        )
        self.context.add_cookies(
            [{"name": "sessionid", "value": entrance.cookies["sessionid"].value, "url": base_url}]
        )
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MILLISECONDS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._record_message)

    def _record_message(self, message: ConsoleMessage) -> None:
        """Records errors and warnings. A response such as 409 is no error of the page; a missing file is."""
        about = message.location.get("url", "")
        answered = "the server responded with a status of" in message.text and "/static/" not in about
        if message.type in ("error", "warning") and not answered:
            self.errors.append(f"{message.text} ({about})")

    def translate(self, text: str, **values: Any) -> str:
        """Returns one of our texts in the language of this browser."""
        with translation.override(self.language):
            return gettext(text) % values if values else gettext(text)

    def go(self, path: str) -> Page:
        answer: Response | None = self.page.goto(path, wait_until="load")
        assert answer is not None
        assert answer.ok, (path, answer.status)
        return self.page

    def search(self, number: str) -> None:
        """Types a number into the search of the first page, and opens the page that it finds."""
        self.go("/admin/")
        search = self.page.get_by_role("combobox", name=self.translate("Search"), exact=True)
        search.fill(number)
        with self.page.expect_navigation():
            search.press("Enter")

    def get_button(self, text: str) -> Locator:
        """Returns the button or link with this whole name, of the open dialog, or of the page."""
        name = self.translate(text)
        scope = self.page.locator("dialog[open]")
        inside = scope if scope.count() else self.page.locator("#main")
        return inside.get_by_role("button", name=name, exact=True).or_(
            inside.get_by_role("link", name=name, exact=True)
        )

    def tab_to(self, target: Locator) -> None:
        """Presses Tab until the target has the focus."""
        for _tab in range(MOST_TABS):
            if target.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} is not reached by keyboard")

    def unfold(self, text: str) -> None:
        """Unfolds the section with this title."""
        self.page.get_by_text(self.translate(text), exact=True).click()

    def open_dialog(self, text: str) -> Locator:
        """Opens a dialog by keyboard. Requires that the focus goes into it, back with Escape, and into it again."""
        opener = self.page.get_by_role("link", name=f"{self.translate(text)}…", exact=True)
        dialog = self.page.locator("dialog[open]")
        self.tab_to(opener)
        self.page.keyboard.press("Enter")
        expect(dialog.locator(":focus")).to_have_count(1)
        self.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(opener).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(dialog.locator(":focus")).to_have_count(1)
        return dialog

    def fill_field(self, label: str, text: str) -> None:
        """Replaces the text of a field of the open dialog, or of the page, by keyboard."""
        scope = self.page.locator("dialog[open]")
        field = (scope if scope.count() else self.page.locator("#main")).get_by_label(self.translate(label))
        self.tab_to(field)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def choose_option(self, label: str, value: str) -> None:
        """Chooses an option of a list in the open dialog. Requires that none was chosen before."""
        dialog = self.page.locator("dialog[open]")
        field = dialog.locator("select").and_(dialog.get_by_label(self.translate(label)))
        assert field.input_value() == ""
        field.select_option(value)

    def press(self, text: str) -> None:
        """Presses a button by keyboard, and waits for the next page."""
        self.tab_to(self.get_button(text))
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def require_text(self, text: str, **values: Any) -> None:
        expect(self.page.get_by_text(self.translate(text, **values)).first).to_be_visible()

    def read_disabled_reason(self, text: str) -> str:
        """Returns the description of a disabled button, which screen readers read with it."""
        button = self.page.get_by_role("button", name=f"{self.translate(text)}…", exact=True)
        expect(button).to_have_attribute("aria-disabled", "true")
        described_by = button.get_attribute("aria-describedby")
        return self.page.locator(f"#{described_by}").inner_text()

    def post_without_page(self, path: str, **form: str) -> int:
        """Sends a form that no page offers, with a valid CSRF token. Returns the status."""
        token = next(each["value"] for each in self.context.cookies() if each["name"] == "csrftoken")
        answer = self.context.request.post(
            path, form=form, headers={"X-CSRFToken": token, "Referer": self.base_url}, max_redirects=0
        )
        assert "CSRF" not in answer.text(), path
        return answer.status

    def save_picture(self, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{PICTURES}/{name}-{self.language}-{self.theme}.png", full_page=True)
