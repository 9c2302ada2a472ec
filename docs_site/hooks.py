"""MkDocs calls these while it builds the site (``hooks`` in mkdocs.yml)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "src")]

from mkdocs.structure.files import File, Files, InclusionLevel  # noqa: E402

from docs_site import families, pages  # noqa: E402

FIGURES: dict[str, str] = {}
"""drawings by the comment that stands in their place until the page is HTML"""


def on_files(files: Files, config: Any) -> Files:
    """Pages whose text stands elsewhere in the repository, or is made from the cards."""
    for source, target in pages.IMPORTED.items():
        files.append(File.generated(config, target, content=pages.text_of(source)))
    files.append(File.generated(config, "benchmarks/index.md", content=pages.benchmarks()))
    for file in pages.measurements():
        content = file.read_text(encoding="utf-8")
        off_nav = InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, f"benchmarks/{file.name}", content=content, inclusion=off_nav))
    files.append(File.generated(config, "claims.html", content=pages.claims()))
    files.append(File.generated(config, "families/index.md", content=families.index()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The generated parts of a family's page; links that lead out of docs/ to where the site has them."""
    source = page.file.src_uri
    if source.startswith("families/") and "architectures" in page.meta:
        text, figures = families.sections(page.meta)
        FIGURES.update(figures)
        markdown = f"{markdown}\n\n{text}"
    if source == "claims.md":
        markdown = markdown.replace("`claims.html`", "[claims.html](claims.html)", 1)
    return pages.with_links_inside(markdown, source)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    for comment, drawing in FIGURES.items():
        if comment in html:
            html = html.replace(comment, drawing)
    return pages.readable(html)
