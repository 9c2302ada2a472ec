"""Does the working tree calculate what an earlier commit calculated, to the bit?

Each case of ``benchmarks/golden_cases.py`` trains for a few seconds in a process of its own, one thread, once on the
package of the earlier commit and once on the one of the working tree. Compared are weights, the newest checkpoint,
metrics, samples, the files that describe the run, evaluation, predictions, embeddings, texts, what exported files
predict, and reports: hashes of the bytes, or values by repr. An option that the configuration of the earlier commit
does not have is no difference.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.golden_cases import CASES
from benchmarks.measure import write_result

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 300
"""seconds that a case may take"""
DESCRIBED = ("config.yaml/", "card.json/", "data.json/")
"""files that describe a run: a later tree may say more in them"""
MOVED = {
    "config.yaml/augmentation/": "config.yaml/",
    "card.json/card/sloped": "card.json/card/differentiable_method",
}
"""places in them that got another name since the first tree was compared: before, after"""
NAMED = 6
"""differences named in the table"""


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A worktree of the commit, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        tree = Path(folder, "base")
        git("worktree", "add", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"golden: git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def _place(name: str) -> str:
    """A value's name, whichever tree wrote it."""
    for before, after in MOVED.items():
        name = name.replace(before, after)
    return name


def digests(case: str, tree: Path) -> dict[str, str]:
    """What a case gives on the package of a tree. Raises RuntimeError where it fails, or runs on another package."""
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        file = Path(folder, "found.json")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
        }
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.golden_cases", case, str(file)], cwd=ROOT, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"not done within {LIMIT} seconds") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode:
            print(output, file=sys.stderr)
            raise RuntimeError(output.strip().splitlines()[-1] if output.strip() else f"exit status {child.returncode}")
        result = json.loads(file.read_text(encoding="utf-8"))
    if not Path(result["lamina"]).is_relative_to((tree / "src").resolve()):
        raise RuntimeError(f"it ran on another package: {result['lamina']}")
    found: dict[str, str] = result["found"]
    return found


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What is not the same, in words."""
    before, after = ({_place(name): value for name, value in found.items()} for found in (before, after))
    gone = [f"{name}: gone" for name in before if name not in after]
    new = [f"{name}: new" for name in after if name not in before and not any(map(name.__contains__, DESCRIBED))]
    both = {name: (value, after[name]) for name, value in before.items() if name in after}
    other = [f"{name}: {one} -> {two}" for name, (one, two) in both.items() if one != two]
    return gone + new + other


def processor_seconds() -> float:
    """What the processes that have ended took so far: whatever else runs on the machine does not count."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def compared(case: str, base: Path) -> tuple[str, list[str]]:
    """The row of a case, and every difference."""
    start = processor_seconds()
    try:
        before = digests(case, base)
    except RuntimeError as error:
        found, count = [f"the earlier commit fails: {error}"], 0
    else:
        try:
            after = digests(case, ROOT)
            found, count = differences(before, after), len(before)
        except RuntimeError as error:
            found, count = [f"the working tree fails: {error}"], 0
    seconds = processor_seconds() - start
    what = (CASES[case].__doc__ or "").split("\n")[0].rstrip(".")
    verdict = "equal" if not found else "; ".join(found[:NAMED]).replace("|", "\\|")
    verdict += f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"| {case} | {what} | {count:,} | {verdict} | {seconds:.0f} |\n", found


def compare(base: Path, cases: Sequence[str]) -> tuple[str, int]:
    """The table of all cases, and how many of them differ."""
    table, differing = "| case | what | values compared | | processor seconds, both |\n|---|---|---|---|---|\n", 0
    for case in cases:
        row, found = compared(case, base)
        print(f"{case}: {f'{len(found)} differences' if found else 'equal'}", flush=True)
        for one in found:
            print(f"  {one}", flush=True)
        table, differing = table + row, differing + bool(found)
    return table, differing


def main() -> None:
    """Compare, print and, of all cases, write the result; exit status 1 where anything differs."""
    reader = argparse.ArgumentParser(prog="golden", description=(__doc__ or "").split("\n")[0])
    reader.add_argument("--base", default="HEAD~1", help="the earlier commit (default: the one before the last)")
    reader.add_argument("--cases", default="", help=f"some of {','.join(CASES)} (default: all)")
    args = reader.parse_args()
    cases = args.cases.split(",") if args.cases else list(CASES)
    if unknown := [case for case in cases if case not in CASES]:
        reader.error(f"unknown case '{unknown[0]}'; choose from {', '.join(CASES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left behind
    torch.set_num_threads(1)  # as in every process it starts: the result file says so
    named = git("rev-parse", "--short", args.base)
    changed = "with changes" if git("status", "--porcelain", "--", "src") else "without changes"
    with checked_out(args.base) as base:
        table, differing = compare(base, cases)
    verdict = (
        f"{len(cases) - differing} of {len(cases)} cases equal in every bit" if differing else "everything is equal"
    )
    body = f"Earlier commit: {named}. Working tree: src {changed} since the commit above. "
    minutes = processor_seconds() / 60
    body += f"{verdict[0].upper()}{verdict[1:]}; {minutes:.1f} minutes of one processor.\n\n{table}"
    if len(cases) == len(CASES):
        write_result("golden", f"{__doc__}\n{body}")
    else:
        print(body)
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
