from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_every_page_of_the_docs_is_in_the_navigation():
    nav = (DOCS.parent / "mkdocs.yml").read_text()
    missing = [page.name for page in DOCS.rglob("*.md") if str(page.relative_to(DOCS)) not in nav]
    assert missing == []
