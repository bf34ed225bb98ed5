"""Serves the guides of docs/ below /api/docs, so that they can be read offline."""

import posixpath
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

GUIDES: Final = {
    "signing": ("SIGNING.md", "Signing"),
    "idempotency": ("IDEMPOTENCY.md", "Idempotency"),
    "errors": ("ERRORS.md", "Errors"),
    "events": ("EVENTS.md", "Events and webhooks"),
    "simulator": ("SIMULATOR.md", "Simulator"),
}
ADDRESSES = {name: f"/api/docs/{guide}" for guide, (name, _title) in GUIDES.items()}
DOCS = Path(settings.BASE_DIR, "docs")


@require_safe
def guide(request: HttpRequest, name: str) -> HttpResponse:
    """Renders one guide. 404 for documents that are not for merchants."""
    if name not in GUIDES:
        raise Http404
    file, title = GUIDES[name]
    menu = [(f"/api/docs/{each}", label, each == name) for each, (_file, label) in GUIDES.items()]
    # Safe: our own files, in which the parser escapes HTML.
    body = mark_safe(_html((DOCS / file).read_text(encoding="utf-8")))  # noqa: S308
    return render(request, "api_docs/guide.html", {"title": title, "menu": menu, "body": body})


@require_safe
def event_schema(request: HttpRequest, event_type: str) -> HttpResponse:
    """The JSON schema of one type of event."""
    file = DOCS / "events" / f"{event_type}.schema.json"
    if file.parent != DOCS / "events" or not file.is_file():
        raise Http404
    return HttpResponse(file.read_bytes(), content_type="application/schema+json")


def _html(text: str) -> str:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        for inner in token.children or ():
            if inner.type == "link_open":
                _readdress(inner)
    html: str = parser.renderer.render(tokens, parser.options, {})
    return html


def _readdress(link: Token) -> None:
    """Rewrites links between guides and to schemas to the addresses here. Leaves other links unchanged."""
    target = str(link.attrs["href"])
    if target in ADDRESSES:
        link.attrs["href"] = ADDRESSES[target]
    elif target.startswith("events/"):
        link.attrs["href"] = posixpath.join("/api/docs", target)
