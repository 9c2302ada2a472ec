"""Imports go one way: no two files of the package need each other, directly or through others, types included."""

from __future__ import annotations

import grimp


def test_no_circle_between_files() -> None:
    graph = grimp.build_graph("lamina", include_external_packages=False)
    below: dict[str, set[str]] = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    # files that nothing unfinished is below are finished: what is left at the end is on a circle, or above one
    left = dict(below)
    while done := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in done:
            del left[name]
    assert not left, f"on a circle, or above one: {', '.join(sorted(left))}"
