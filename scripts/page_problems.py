"""What is wrong with a page that a browser shows: what axe finds, what is wider than the screen, texts that are cut,
and, on a page in Chinese, sentences in English."""

import re
from typing import Final

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Texts that are ours: not what people, merchants and channels wrote, which stands in <samp>, <code> or a field.
_OWN_TEXTS = """
() => {
    const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const parent = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
        const isTheirs = parent.closest("samp, code, pre, script, style, textarea, option, svg");
        if (text && parent.checkVisibility() && !isTheirs) texts.push(text);
    }
    return texts;
}
"""
_WIDE = """
() => {
    const wide = [];
    if (document.documentElement.scrollWidth > innerWidth) {
        for (const each of document.querySelectorAll("body *")) {
            const box = each.getBoundingClientRect();
            if (box.right > innerWidth + 1 && box.width > 0) wide.push(each.outerHTML.slice(0, 120));
        }
        return [`page is ${document.documentElement.scrollWidth} px wide`, ...wide.slice(0, 3)];
    }
    return [];
}
"""
# Texts that nobody can read whole: a shortened one has a title.
_CUT = """
() => {
    const cut = [];
    for (const each of document.querySelectorAll("#header-inner *, #content *")) {
        const style = getComputedStyle(each), isHidden = ["hidden", "clip"].includes(style.overflowX);
        const isCut = each.clientWidth > 1 && each.scrollWidth > each.clientWidth + 1;
        if (isHidden && isCut && each.textContent.trim() && each.checkVisibility() && !each.closest("[title]"))
            cut.push(each.outerHTML.slice(0, 120));
    }
    return cut.slice(0, 3);
}
"""
_ENGLISH: Final = re.compile(r"[A-Za-z]{3,} [A-Za-z]{2,}")


def find_problems(page: Page, *, is_chinese: bool) -> list[str]:
    problems = [f"overflow: {each}" for each in page.evaluate(_WIDE)]
    problems += [f"cut: {each}" for each in find_cut_texts(page)]
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            problems += [f"axe {violation['id']}: {node['html'][:160]}" for node in violation["nodes"][:3]]
    if is_chinese:
        problems += [f"English: {text[:80]}" for text in page.evaluate(_OWN_TEXTS) if _ENGLISH.search(text)]
    return list(dict.fromkeys(problems))


def find_cut_texts(page: Page) -> list[str]:
    """Returns the beginning of the HTML of at most three elements."""
    found: list[str] = page.evaluate(_CUT)
    return found
