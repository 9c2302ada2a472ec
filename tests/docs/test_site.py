"""The site builds strictly; its links lead somewhere, nothing comes from another host, and a reader of any kind can use
it. One build for all tests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from lamina.claims.registry import NAMES
from lamina.registry import list_models

pytest.importorskip("mkdocs", reason="the site needs the extra docs")
pytest.importorskip("mkdocstrings", reason="the site needs the extra docs")
html = pytest.importorskip("lxml.html")

from docs_site import families  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The parsed pages of a strict build by their path; it stops at the first warning."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    out = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(out), strict=True))
    pages = {str(path.relative_to(out)): html.parse(str(path)).getroot() for path in sorted(out.rglob("*.html"))}
    return {"out": out, "pages": pages}


def pages_of(site: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The pages that MkDocs makes; claims.html is a page of its own."""
    pages = site["pages"]
    assert isinstance(pages, dict)
    return ((name, page) for name, page in pages.items() if name not in ("404.html", "claims.html"))


def test_every_link_leads_somewhere(site: dict[str, object]) -> None:
    out, pages = site["out"], site["pages"]
    assert isinstance(out, Path)
    assert isinstance(pages, dict)
    anchors = {name: {*page.xpath("//@id"), *page.xpath("//a/@name")} for name, page in pages.items()}
    dead, seen = [], 0
    for name, page in pages_of(site):
        for target in page.xpath("//@href | //@src"):
            parts = urlsplit(str(target))
            if parts.scheme or parts.netloc or not (parts.path or parts.fragment):
                continue
            seen += 1
            path = (out / name).parent / unquote(parts.path) if parts.path else out / name
            path = path / "index.html" if path.is_dir() else path
            where = str(path.resolve().relative_to(out.resolve()))
            if not path.is_file() or (
                parts.fragment and unquote(parts.fragment) not in anchors.get(where, {parts.fragment})
            ):
                dead.append((name, target))
    assert seen > 1000
    assert dead == []


def test_nothing_is_asked_of_another_host(site: dict[str, object]) -> None:
    """Scripts, styles, pictures, frames, preconnects, and what style sheets name: all from the site itself. A link that
    a reader may follow is no request."""
    out = site["out"]
    assert isinstance(out, Path)
    for name, page in pages_of(site):
        loaded = page.xpath(
            "//script/@src | //link/@href | //img/@src | //iframe/@src | //source/@src | //object/@data"
        )
        assert [url for url in loaded if urlsplit(str(url)).netloc] == [], name
        assert page.xpath("//*[contains(@class, 'mermaid')]") == [], (
            f"{name}: Material fetches mermaid from another host"
        )
        inline = "".join(page.xpath("//style/text()"))
        assert "//" not in "".join(re.findall(r"url\(([^)]*)\)", inline))
    for sheet in out.rglob("*.css"):
        named = re.findall(r"url\(([^)]*)\)|@import\s+([^;]*)", sheet.read_text(encoding="utf-8"))
        assert [url for pair in named for url in pair if "//" in url and not url.strip("'\"").startswith("data:")] == []


def test_search_finds_pages_equations_and_classes(site: dict[str, object]) -> None:
    out = site["out"]
    assert isinstance(out, Path)
    index = json.loads((out / "search" / "search_index.json").read_text(encoding="utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"families/resnet/", "getting_started/", "data/", "api/training/"} <= places
    titles = {entry["title"] for entry in index["docs"]}
    assert {"lstm_step", "train", "Run"} <= {re.sub(r"<[^>]*>|¶", "", title).strip() for title in titles}
    assert not any("<svg" in entry["text"] or "Data flow of" in entry["text"] for entry in index["docs"])


def test_pictures_have_words_and_headings_their_order(site: dict[str, object]) -> None:
    for name, page in pages_of(site):
        article = page.xpath("//article")
        if not article:
            continue
        assert [image for image in article[0].xpath(".//img") if not (image.get("alt") or "").strip()] == [], name
        assert [svg for svg in article[0].xpath(".//svg[@role='img']") if not svg.get("aria-label")] == [], name
        levels = [int(heading.tag[1]) for heading in article[0].xpath(".//h1|.//h2|.//h3|.//h4|.//h5|.//h6")]
        assert levels.count(1) == 1, name
        assert levels[0] == 1, name
        assert all(after <= before + 1 for before, after in pairwise(levels)), (name, levels)
        assert page.get("lang") == "en"


def test_a_family_s_page_says_what_its_models_are(site: dict[str, object]) -> None:
    pages = site["pages"]
    assert isinstance(pages, dict)
    text = pages["families/resnet/index.html"].text_content()
    for word in (
        "25,557,032",
        "degradation",
        "batch_norm",
        "residual-depth",
        "resnet-cifar-fashion-10k",
        "Reading order",
    ):
        assert word in text, word
    drawings = pages["families/resnet/index.html"].xpath("//svg[@role='img']/@aria-label")
    assert any("Data flow of ResNet-50: " in str(label) for label in drawings)
    assert any("inside of" in str(label) for label in drawings)
    gallery = pages["families/vae/index.html"].xpath("//article//img/@alt")
    assert "64 digits drawn from the prior" in gallery


def test_every_architecture_has_one_page() -> None:
    listed = [file for meta in families.pages().values() for file in meta["architectures"]]
    assert sorted(listed) == sorted(families.architectures())
    known = set(list_models())
    for page, meta in families.pages().items():
        assert set(meta.get("draw", ())) <= known, page
        assert set(meta.get("claims", ())) <= set(NAMES), page


def test_every_claim_is_on_a_page() -> None:
    listed = {claim for meta in families.pages().values() for claim in meta.get("claims", ())}
    assert set(NAMES) - listed == set()


def test_a_picture_belongs_to_the_longest_name() -> None:
    assert families.belongs("gallery/vae-mnist-samples.png", ["vae"])
    assert families.belongs("gallery/gan-toy-ring.png", ["gan", "gan-toy"])
    assert not families.belongs("gallery/gan-toy-ring.png", ["gan"])
    assert not families.belongs("gallery/lenet55.png", ["lenet5"])
