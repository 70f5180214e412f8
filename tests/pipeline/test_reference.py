from __future__ import annotations

from pathlib import Path

from hdgan.pipeline.reference import settings_page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"


def test_the_page_of_settings_is_that_of_the_code():
    command = "python -m hdgan.pipeline.reference > docs/reference/settings.md"
    assert PAGE.read_text(encoding="utf-8") == settings_page(), f"the page is old; make it again: {command}"


def test_every_section_and_its_limits_are_on_the_page():
    page = settings_page()
    for part in (
        "## [run]",
        "## [tiles]",
        "### [oracle.segmenter]",
        "### [real.cut.sets.NAME]",
        "## [downstream]",
        "| `psi` |",
        "`validate`",
    ):
        assert part in page
    assert "| `tile_px` | whole number, at least 8, at most 16384 | required |" in page
