"""A member of staff at a screen: a real browser, in a language and a theme, that is used as people use it."""

import os
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from django.utils.translation import gettext
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Response, expect

from tests.support.waiting import PATIENCE_MILLISECONDS

# Where pictures of the pages go, for who wants to look at them.
PICTURES = os.environ.get("OFFICE_PICTURES", "")
LOOKS = {
    "en-light": ("en", "light"),
    "zh-dark": ("zh-hans", "dark"),
    "zh-light": ("zh-hans", "light"),
    "en-dark": ("en", "dark"),
}
MOST_TABS = 120


class Desk:
    """`errors` is what the browser complained of: scripts that failed, and what the content policy refused."""

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
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        """An answer such as 409 is no fault of the page; a file that is missing is."""
        about = message.location.get("url", "")
        answered = "the server responded with a status of" in message.text and "/static/" not in about
        if message.type in ("error", "warning") and not answered:
            self.errors.append(f"{message.text} ({about})")

    def says(self, text: str, **values: Any) -> str:
        """A text of ours as it stands on this screen."""
        with translation.override(self.language):
            return gettext(text) % values if values else gettext(text)

    def go(self, path: str) -> Page:
        answer: Response | None = self.page.goto(path, wait_until="load")
        assert answer is not None
        assert answer.ok, (path, answer.status)
        return self.page

    def finds(self, number: str) -> None:
        """Types what is being read out on the phone into the search of the first page."""
        self.go("/admin/")
        search = self.page.get_by_role("combobox", name=self.says("Search"), exact=True)
        search.fill(number)
        with self.page.expect_navigation():
            search.press("Enter")

    def button(self, text: str) -> Locator:
        """What can be pressed on a page or in an open dialog, button or link, by its whole name."""
        name = self.says(text)
        scope = self.page.locator("dialog[open]")
        inside = scope if scope.count() else self.page.locator("#main")
        return inside.get_by_role("button", name=name, exact=True).or_(
            inside.get_by_role("link", name=name, exact=True)
        )

    def tabs_to(self, target: Locator) -> None:
        """By keyboard alone."""
        for _tab in range(MOST_TABS):
            if target.evaluate("each => each === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{target} is not reached by keyboard")

    def unfolds(self, text: str) -> None:
        """Opens what is folded below this text."""
        self.page.get_by_text(self.says(text), exact=True).click()

    def opens(self, text: str) -> Locator:
        """Presses the button of a dialog by keyboard: the focus goes into it, out with Escape, and in again."""
        opener = self.page.get_by_role("link", name=f"{self.says(text)}…", exact=True)
        dialog = self.page.locator("dialog[open]")
        self.tabs_to(opener)
        self.page.keyboard.press("Enter")
        expect(dialog.locator(":focus")).to_have_count(1)
        self.page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(opener).to_be_focused()
        self.page.keyboard.press("Enter")
        expect(dialog.locator(":focus")).to_have_count(1)
        return dialog

    def types(self, label: str, text: str) -> None:
        """Into a field of the open dialog, or of the page, reached by keyboard; what stood there is replaced."""
        scope = self.page.locator("dialog[open]")
        field = (scope if scope.count() else self.page.locator("#main")).get_by_label(self.says(label))
        self.tabs_to(field)
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def chooses(self, label: str, value: str) -> None:
        """An option of a list in the open dialog. Nothing is chosen before."""
        dialog = self.page.locator("dialog[open]")
        field = dialog.locator("select").and_(dialog.get_by_label(self.says(label)))
        assert field.input_value() == ""
        field.select_option(value)

    def sends(self, text: str) -> None:
        """Presses a button by keyboard, and waits for the page that answers."""
        self.tabs_to(self.button(text))
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def is_told(self, text: str, **values: Any) -> None:
        expect(self.page.get_by_text(self.says(text, **values)).first).to_be_visible()

    def why_not(self, text: str) -> str:
        """What stands beside a button that cannot be pressed, and is read out with it."""
        button = self.page.get_by_role("button", name=f"{self.says(text)}…", exact=True)
        expect(button).to_have_attribute("aria-disabled", "true")
        described_by = button.get_attribute("aria-describedby")
        return self.page.locator(f"#{described_by}").inner_text()

    def forged(self, path: str, **form: str) -> int:
        """The status of a POST that no page offered, with a token that is right."""
        token = next(each["value"] for each in self.context.cookies() if each["name"] == "csrftoken")
        answer = self.context.request.post(
            path, form=form, headers={"X-CSRFToken": token, "Referer": self.base_url}, max_redirects=0
        )
        assert "CSRF" not in answer.text(), path
        return answer.status

    def picture(self, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{PICTURES}/{name}-{self.language}-{self.theme}.png", full_page=True)
