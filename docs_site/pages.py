"""Pages of the repository that are pages of the site too, and links between the two."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from lamina.claims.rendering import render_page
from lamina.claims.running import read_results

ROOT = Path(__file__).parents[1]
IMPORTED = {"RESULTS.md": "results.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""files of the repository by their place in the site"""
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")


def text_of(source: str) -> str:
    return (ROOT / source).read_text(encoding="utf-8")


def measurements() -> list[Path]:
    """Result files of the benchmarks, the newest of each benchmark and machine among them."""
    return sorted((ROOT / "benchmarks" / "results").glob("*.md"))


def claims() -> str:
    """The page of claims, with figures, from the results that are kept."""
    return render_page(read_results(ROOT / "results" / "claims"))


def benchmarks() -> str:
    """The list of measurements."""
    lines = [
        "# Measurements",
        "",
        "Each was written by its command on the machine that it names; settings were committed before it was run.",
        "",
        "| file | what it asks |",
        "|---|---|",
    ]
    for file in measurements():
        text = file.read_text(encoding="utf-8").replace("\r", "")
        about = [
            part for part in text.split("\n\n")[1:] if part.strip() and not part.startswith(("-", "#", "|", " ", "`"))
        ]
        first = " ".join(about[0].split()) if about else ""
        first = re.split(r"(?<=[.?])\s", first)[0].replace("|", "\\|")
        lines.append(f"| [{file.stem}]({file.name}) | {first} |")
    return "\n".join(lines) + "\n"


def home(repository_path: str) -> str | None:
    """Where the site has a file of the repository; None: nowhere."""
    path = repository_path.rstrip("/")
    if path in IMPORTED:
        return IMPORTED[path]
    if path in ("benchmarks/results", "benchmarks"):
        return "benchmarks/index.md"
    if path.startswith("benchmarks/results/") and path.endswith(".md"):
        return f"benchmarks/{posixpath.basename(path)}"
    return path.removeprefix("docs/") if path.startswith("docs/") else None


def with_links_inside(markdown: str, source: str) -> str:
    """Links relative to a file's place in the repository, made relative to its place in the site."""
    origin = next((path for path, target in IMPORTED.items() if target == source), f"docs/{source}")
    if source.startswith("benchmarks/"):
        origin = (
            f"benchmarks/results/{posixpath.basename(source)}"
            if source != "benchmarks/index.md"
            else "docs/benchmarks/index.md"
        )

    def inside(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if ":" in target or (origin.startswith("docs/") and not target.startswith("..")):
            return match[0]
        found = home(posixpath.normpath(posixpath.join(posixpath.dirname(origin), target)))
        return match[0] if found is None else posixpath.relpath(found, posixpath.dirname(source) or ".") + anchor

    return LINK.sub(inside, markdown)


def readable(html: str) -> str:
    """Wide tables scroll by themselves, and by keyboard."""
    return re.sub(
        r"<table>(.*?)</table>",
        r'<div class="wide" tabindex="0" role="region" aria-label="table"><table>\1</table></div>',
        html,
        flags=re.S,
    )
