"""Counts what twelve tasks of staff cost in the back office, in clicks and keys, and writes the table of
docs/BACKOFFICE.md.

Signs in to a running local stack as a person of the role and does each task in Chromium, beginning on the dashboard.
The page itself counts presses of the mouse button and of keys. Nothing is entered in another way.

./scripts/start-all-services.sh
.venv/bin/python manage.py seed_demo --payments 500
.venv/bin/python -m scripts.stopwatch              # prints the table
.venv/bin/python -m scripts.stopwatch --write      # into docs/BACKOFFICE.md
"""

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from scripts.local.config import ROOT, Stack
from scripts.stopwatch_tasks import TASKS, Task

DOCUMENT: Final = ROOT / "docs" / "BACKOFFICE.md"
BEGIN, END = "<!-- stopwatch -->", "<!-- /stopwatch -->"
PATIENCE_MILLISECONDS: Final = 20_000
# Counts in the capture phase, before a page can stop the event. A press on a label or with Enter on a button makes a
# second click event, so presses of the mouse button are counted instead.
_LISTEN = """
(() => {
    const isField = (each) => each.matches?.("input:not([type=checkbox]):not([type=radio]), textarea");
    addEventListener("pointerdown", (event) => { if (event.isTrusted) countInput("click"); }, true);
    addEventListener("keydown", (event) => {
        if (!event.isTrusted || event.repeat) return;
        const isText = event.key.length === 1 && !event.ctrlKey && isField(event.target);
        countInput(isText ? "character" : "key");
    }, true);
})();
"""


@dataclass(slots=True)
class Count:
    """`texts`: runs of characters. A person who types an order number does one thing, not ten."""

    clicks: int = 0
    keys: int = 0
    characters: int = 0
    texts: int = 0
    _was_character: bool = field(default=False, repr=False)

    def add(self, kind: str) -> None:
        is_character = kind == "character"
        self.clicks += kind == "click"
        self.keys += kind == "key"
        self.characters += is_character
        self.texts += is_character and not self._was_character
        self._was_character = is_character

    @property
    def interactions(self) -> int:
        return self.clicks + self.keys + self.texts


class Hand:
    """A person at the screen who has a mouse and a keyboard, and nothing else."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.count = Count()
        self.at_object: int | None = None
        page.context.expose_binding("countInput", lambda _source, kind: self.count.add(kind))
        page.context.add_init_script(_LISTEN)

    def click(self, selector: str) -> None:
        target = self.page.locator(selector).first
        target.wait_for()
        target.scroll_into_view_if_needed()
        target.click()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)

    def search(self, text: str) -> None:
        self.press("/")
        self.type(text)

    def sees(self, text: str) -> None:
        self.page.get_by_text(re.compile(text)).locator("visible=true").first.wait_for()

    def is_there(self, address: str) -> None:
        """The page of the object is reached: from here on the task itself is counted."""
        self.page.wait_for_url(re.compile(address))
        self.at_object = self.count.interactions


@dataclass(frozen=True, slots=True)
class TaskResult:
    task: Task
    count: Count
    to_object: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="Replace the table in docs/BACKOFFICE.md.")
    parser.add_argument("--only", default="", help="Tasks whose title contains this.")
    options = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        results = [_do(browser, task) for task in TASKS if options.only in task.title]
        browser.close()
    table = build_table(results)
    print(table)
    if options.write:
        write_table(DOCUMENT, table)


def _do(browser: Browser, task: Task) -> TaskResult:
    stack = Stack.saved(Stack.from_environment())
    context = browser.new_context(
        base_url=stack.url,
        locale="en-US",
        viewport={"width": 1440, "height": 900},
        timezone_id="Europe/Berlin",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MILLISECONDS)
    page.goto("/admin/login/?next=/admin/")
    page.fill("input[name=username]", task.role)
    page.fill("input[name=password]", task.role)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile("/admin/$"))
    facts = task.prepare(stack)
    hand = Hand(page)
    page.reload()
    page.wait_for_load_state("networkidle")
    task.perform(hand, facts)
    result = TaskResult(
        task, hand.count, hand.count.interactions if hand.at_object is None else hand.at_object
    )
    context.close()
    return result


def build_table(results: Sequence[TaskResult]) -> str:
    lines = [
        "| task | role | before | clicks | keys | texts | to the object | in all |",
        "| --- | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for each in results:
        count = each.count
        lines.append(
            f"| {each.task.title} | {each.task.role} | {each.task.before} | {count.clicks} | {count.keys}"
            f" | {count.texts} | {each.to_object} | **{count.interactions}** |"
        )
    return "\n".join(lines)


def write_table(document: Path, table: str) -> None:
    text = document.read_text()
    before, rest = text.split(BEGIN)
    _old, after = rest.split(END)
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main()
