"""Names of parallel files and of their languages: train.de and train.en, newstest2014-src.de."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamina.data.spec import ORDER, SPLIT_NAMES
from lamina.data.text_files import OPENERS, is_text
from lamina.errors import UsageError

Files = Mapping[str, Mapping[str, Path]]
"""the file of each language, by split"""
LANGUAGE = re.compile(r"[A-Za-z]{2,8}([_-]\w{1,8})*")
LANGUAGE_CODES = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu ara bul ces cmn dan deu ell eng
est fas fin fra heb hin hrv hun ind ita jpn kor lat lit nld nor pol por ron rus slk slv spa srp swe tha tur ukr vie
zho
"""
"""ISO 639-1, and the usual ones of three letters"""
LANGUAGE_NAMES = """
english german french spanish italian portuguese russian chinese mandarin japanese korean arabic hindi dutch swedish
polish czech turkish greek finnish danish norwegian hungarian romanian ukrainian vietnamese thai hebrew latin
"""
"""as columns are called"""
OTHER_ENDINGS = """
txt text csv tsv json jsonl ndjson parquet pq npz bin idx zip tar tokens raw md html xml sgm yaml yml toml cfg log py
sh png jpg jpeg gif bmp tif tiff webp
"""
"""of files that are no text in a language"""
OTHER_COLUMNS = """
src tgt source target text texts sentence sentences input output question answer query response prompt translation
original reference id idx index attribution
"""
"""words in names of columns of pairs"""
LANGUAGES = frozenset((LANGUAGE_CODES + LANGUAGE_NAMES).split())
NO_LANGUAGES = frozenset(OTHER_ENDINGS.split()) | frozenset(SPLIT_NAMES)
COLUMN_NAMES = frozenset((OTHER_COLUMNS + LANGUAGE_NAMES).split())
SIDES = ("src", "tgt", "source", "target")
"""sides of a translation in place of languages"""
NUMBERED = {"newstest": "test", "newsdev": "validation", "tst": "test"}
"""test sets of WMT and IWSLT: newstest2014, tst2013"""
NO_CORPUS = re.compile(r"(vocab|dict|bpe|codes|lex)\b", re.IGNORECASE)


def parallel_files(files: Sequence[Path]) -> Files:
    """Files of aligned lines, by split and language; empty without two of train.

    ``train.de`` and ``train.en``, also ``train.tok.bpe.32000.de``, ``train.de.txt``, ``src-train.txt`` and
    ``newstest2014-src.de``; files may be compressed. The other splits are ``val``, ``valid``, ``validation``, ``dev``
    and ``test``, with or without a suffix (``test_2016_flickr.de``). Of several test sets the one called test is used,
    or the first by name. Without names of splits the only corpus is train: ``europarl.de`` and ``europarl.en``. Raises
    UsageError for several.
    """
    stems: dict[str, dict[str, Path]] = {}
    for path in files:
        if (parts := stem_and_language(path)) is not None:
            stems.setdefault(parts[0], {})[parts[1]] = path
    stems = {stem: _of_stem(stem, found) for stem, found in stems.items()}
    splits: dict[str, dict[str, Path]] = {}
    for stem in sorted(stems, key=lambda stem: (stem.casefold() not in SPLIT_NAMES, stem)):
        split = split_of(stem)
        if split is not None and len(stems[stem]) > 1:
            splits.setdefault(split, stems[stem])
    if "train" not in splits:
        corpora = {stem: found for stem, found in stems.items() if split_of(stem) is None and _is_corpus(stem, found)}
        if len(corpora) > 1:
            first, second = (next(iter(found.values())) for found in list(corpora.values())[:2])
            raise UsageError(
                f"'{first.parent}' holds several parallel texts, '{first.name}' and '{second.name}', none of them "
                f"called train: name one, such as '{first}'"
            )
        if not corpora:
            return {}
        (splits["train"],) = corpora.values()
    return {split: splits[split] for split in ORDER if split in splits}


def beside(path: Path) -> Files:
    """A file of a language and those of the others beside it: ``corpus.de`` with ``corpus.en``. Empty if its name ends
    in no language.

    Raises UsageError if there are none.
    """
    parts = stem_and_language(path)
    if parts is None or not is_language(parts[1]):
        return {}
    others = [(stem_and_language(one), one) for one in sorted(path.parent.iterdir()) if one.is_file()]
    found = {found[1]: one for found, one in others if found is not None and found[0] == parts[0]}
    found = {language: one for language, one in found.items() if is_language(language)}
    if len(found) < 2:
        raise UsageError(
            f"'{path}' is text in one language: parallel text has a file of the same name beside it for the other, "
            f"{parts[0]}.en or the like (running text is called .txt)"
        )
    return {"train": _of_stem(parts[0], found)}


def stem_and_language(path: Path) -> tuple[str, str] | None:
    """``train.tok`` and ``de`` of train.tok.de.gz; None for other names."""
    name = path.name
    for suffix in OPENERS:
        name = name.removesuffix(suffix)
    side, _, rest = name.partition("-")
    if side in SIDES and rest and is_text(path):
        return rest.split(".")[0], side
    if is_text(path):  # train.de.txt, train_de.txt
        named = re.fullmatch(r"(.+)[._-]([A-Za-z_-]+)", name.rpartition(".")[0])
        return (named[1], named[2]) if named and is_language(named[2]) else None
    stem, _, language = name.rpartition(".")
    if not stem or not LANGUAGE.fullmatch(language) or language.casefold() in NO_LANGUAGES:
        return None
    return re.sub(r"[-_.](src|ref|tgt)$", "", stem, flags=re.IGNORECASE), language


def split_of(stem: str) -> str | None:
    """The split that the name of a file states: as its first part, else as another one."""
    parts = [part.rstrip("0123456789") or part for part in re.split(r"[._-]", stem.casefold())]
    found = [(SPLIT_NAMES | NUMBERED).get(part) for part in parts]
    return found[0] or next(filter(None, found), None)


def is_language(name: str) -> bool:
    """Whether a name is that of a language (de, en_GB, zh-CN, deu, German), or a side of a translation."""
    first = re.split(r"[_-]", name.casefold())[0]
    return first in LANGUAGES or name.casefold() in SIDES


def is_header(cells: Sequence[str]) -> bool:
    """Whether the cells of a first line name the columns of pairs, by languages or usual words, and are no pair."""
    return all(is_language(cell.strip()) or _names_column(cell) for cell in cells)


def _names_column(cell: str) -> bool:
    words = re.split(r"[\W_]+", cell.strip().casefold())
    return len(words) <= 3 and not COLUMN_NAMES.isdisjoint(words)


def _is_corpus(stem: str, found: Mapping[str, Path]) -> bool:
    return len(found) > 1 and all(map(is_language, found)) and NO_CORPUS.match(stem) is None


def _of_stem(stem: str, found: dict[str, Path]) -> dict[str, Path]:
    """The files of the two languages that a name states: europarl.de-en.de, europarl.de-en.en, europarl.de-en.ids."""
    pair = re.search(r"[._-]([a-z]{2,3})[-_]([a-z]{2,3})$", stem, re.IGNORECASE)
    if pair is not None and pair[1] in found and pair[2] in found:
        return {language: found[language] for language in pair.groups()}
    return found
