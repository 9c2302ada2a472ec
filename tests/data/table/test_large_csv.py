"""A large CSV file is read within bounds of time and memory, measured by the process that reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

READ = """
import json, resource, sys, time
from lamina.data.opening import open_source
began = time.perf_counter()
source = open_source(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = time.perf_counter() - began
kinds = [column.kind for column in source.spec.columns]
print(json.dumps({"rows": sum(source.spec.sizes.values()), "kinds": kinds, "seconds": seconds, "kilobytes": peak}))
"""


def test_a_million_rows(tmp_path: Path) -> None:
    rows = [
        f"{i * 0.37:.4f};{i},{i % 9};{1 + i % 99}.{100 + i % 900},50 €;{('Oslo', 'Łódź', 'Bern')[i % 3]};{i % 90:05d};"
        f"{'NA' if i % 7 == 0 else i};{i % 4 == 0};{i % 3}.0\n"
        for i in range(1000)
    ]
    path = tmp_path / "large.csv"
    path.write_bytes(b"a;b;price;city;zip;d;flag;label\n" + "".join(rows).encode() * 1000)
    run = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    assert found["rows"] == 1_000_000
    assert found["seconds"] < 30
    assert found["kilobytes"] < 1.5e6
    assert found["kinds"] == ["numeric", "numeric", "numeric", "categorical", "categorical", "numeric", "numeric"]
