"""YAML that people write: recipes, spaces, and files of runs that they edit."""

from __future__ import annotations

import json
from typing import Any

import yaml

from lamina.errors import UsageError

MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """As ``yaml.safe_load``, which takes the last of two equal keys without a word; here they are refused."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            named, line = (key.tag, key.value), key.start_mark.line + 1
            if named in lines:
                where = f"lines {lines[named]} and {line}" if line != lines[named] else f"line {line}"
                raise _TwiceError(f"'{key.value}' is there twice, in {where}")
            lines[named] = line
        return node


class _TwiceError(yaml.YAMLError):
    """A key that is there twice."""


def read_yaml(text: str, where: str) -> Any:
    """The plain values of a YAML text; ``where`` names it in messages.

    Raises UsageError, in one line, for what is not YAML, a key that is there twice, and values that hold themselves.

    Example: ``read_yaml("lr: 0.1", "best.yaml")`` is ``{"lr": 0.1}``.
    """
    try:
        values = yaml.load(text, Loader=_Loader)
        json.dumps(values, default=str, skipkeys=True)
    except _TwiceError as error:
        raise UsageError(f"{where}: {error}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply") from None
    except ValueError as error:  # 2024-13-45 looks like a date; an alias inside its own anchor
        raise UsageError(f"{where} holds a value that is none: {' '.join(str(error).split())}") from None
    return values
