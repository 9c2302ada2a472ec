"""Search of architectures and hyper-parameters: a space, a strategy, trials that are runs, and a result that is one.

The package itself can be called: ``lamina.search("lenet5", "digits", space=..., trials=20)``.
"""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.search.api import search as search


class _Callable(types.ModuleType):
    """``lamina.search`` names this package and the function of the same name."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        from lamina.search.api import search

        return search(*args, **options)


sys.modules[__name__].__class__ = _Callable
