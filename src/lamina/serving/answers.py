"""Predictions as JSON: pictures as data addresses, what is not a number as null."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from lamina.report.picture_grid import picture_png


def as_answer(value: Any) -> Any:
    """A prediction as JSON can hold it."""
    if isinstance(value, Mapping):
        return {str(key): as_answer(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [as_answer(one) for one in value]
    if isinstance(value, Tensor):
        return as_answer(value.tolist())
    if isinstance(value, np.ndarray):
        return _picture(value) if value.dtype == np.uint8 and value.ndim == 3 else as_answer(value.tolist())
    if isinstance(value, np.generic):
        return as_answer(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | type(None)) else str(value)


def _picture(value: np.ndarray[Any, Any]) -> str:
    return "data:image/png;base64," + base64.b64encode(picture_png(value)).decode()


def body(value: Any) -> bytes:
    """An answer as the body of a response."""
    return json.dumps(as_answer(value), allow_nan=False, separators=(",", ":")).encode()
