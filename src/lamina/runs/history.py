"""The rows of metrics.csv: a list of mappings that answers as a data frame, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class History(list[dict[str, float]]):
    """One mapping an epoch, and by name what a data frame has.

        run.history[-1]["validation_loss"]            # a row
        run.history["validation_loss"].min()          # a column
        run.history.plot(x="epoch", y="train_loss")   # any method of pandas
        run.history.frame                             # the frame itself

    It is never changed: ``metrics.csv`` is read again by ``run.history``.
    """

    def __init__(self, rows: Iterable[Mapping[str, float]] = ()) -> None:
        super().__init__(dict(row) for row in rows)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A ``pandas.DataFrame`` with a row for each epoch; whole numbers where a column has no others."""
        import pandas as pd

        frame = pd.DataFrame(list(self))
        whole = [name for name in ("epoch", "step", "best") if name in frame]
        return frame.astype(dict.fromkeys(whole, int)) if len(frame) else frame

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) or (isinstance(key, list) and all(isinstance(one, str) for one in key)):
            return self.frame[key]
        return super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.frame, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name for name in dir(self.frame) if not name.startswith("_"))})

    def _repr_html_(self) -> str:
        return str(self.frame.to_html(index=False, border=0))
