"""The former names of ``lamina.inspection`` still work, with a warning."""

from __future__ import annotations

import pytest

import lamina.inspection as inspection
from lamina.inspection import Inspection, TextInspection


@pytest.mark.parametrize(
    ("former", "name"),
    [
        ("Expected", "TokenSurprisal"),
        ("Looking", "BlockAttention"),
        ("Telling", "WordAttribution"),
        ("expected", "token_surprisal"),
        ("inspect_judged", "inspect_classified_text"),
        ("inspect_running", "inspect_running_text"),
        ("inspect_translated", "inspect_translation"),
        ("looking", "block_attention"),
        ("read", "text_surprisal"),
        ("telling_words", "strongest_words"),
    ],
)
def test_a_former_name_is_the_new_one(former: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=rf"lamina.inspection.{former} is now {name}"):
        assert getattr(inspection, former) is getattr(inspection, name)


@pytest.mark.parametrize(
    ("kind", "former", "name"), [(Inspection, "looking", "attention"), (TextInspection, "expected", "surprisal")]
)
def test_a_former_field_is_the_new_one(kind: type, former: str, name: str) -> None:
    seen = object.__new__(kind)
    object.__setattr__(seen, name, value := object())
    with pytest.warns(DeprecationWarning, match=f"{kind.__name__}.{former} is now {name}"):
        assert getattr(seen, former) is value


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError, match="no attribute 'glance'"):
        _ = inspection.glance
