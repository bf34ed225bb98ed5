"""Links of the documents outside docs/ (mkdocs checks those inside), and the index of decisions."""

import re
from pathlib import Path

import pytest
from pymdownx.slugs import slugify

ROOT = Path(__file__).parent.parent
OUTSIDE = ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+?)\s*$", re.M)
CODE = re.compile(r"^```.*?^```$", re.M | re.S)


@pytest.mark.parametrize("document", OUTSIDE)
def test_links_lead_somewhere(document: str) -> None:
    source = ROOT / document
    broken = []
    for path, anchor in LINK.findall(CODE.sub("", source.read_text(encoding="utf-8"))):
        target = (source.parent / path) if path else source
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(f"{path}#{anchor}")
    assert not broken


def anchors_of(document: Path) -> set[str]:
    text = CODE.sub("", document.read_text(encoding="utf-8"))
    anchor_of = slugify(case="lower")
    return {anchor_of(heading, "-") for heading in HEADING.findall(text)}


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"\((\d{4}-[^)]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in folder.glob("0*.md"))
