"""The studio in headless Chromium, as a person uses it: ``studio_browser.mjs``, part by part, on two runs that are
trained here.

An architecture by keyboard; a seven that is drawn is recognised; sliders change samples; a training on an uploaded CSV
moves its curve, is found again by a browser that left, stops and goes on; runs compared; a claim run; no page error, no
request to another host, no file opened by a traversal or a forged call, no control without a name, no page wider than
its window at 1280 and at 390 pixels. Screenshots are in ``build/studio``.

``python -m benchmarks.studio draw train`` does some parts. What each part found is kept in ``build/studio/found.json``
for one state of the studio's sources: what was done is not done again, and the result is written once all parts were.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import lamina
from benchmarks.measure import write_result

SCRIPT = Path(__file__).with_name("studio_browser.mjs")
MODULES = Path(".studio")
SHOTS = Path("build/studio")


PARTS = {
    "explore": "an architecture is drawn, layer by layer; another one by keyboard alone",
    "draw": "a seven is drawn: what it is taken for; what the net looked at",
    "refused": "a file that is no picture",
    "sample": "samples; the slider of the seed, a walk through the code",
    "train": "an uploaded CSV named <script>...: plan, curve, leave, come back, stop, resume, stop",
    "compare": "all runs; two, with the options in which they differ",
    "claims": "one is run",
    "safety": "traversals, and calls that the page would not send",
}


def main() -> None:
    """Train two runs, start the studio, run the script, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    SHOTS.mkdir(parents=True, exist_ok=True)
    record = SHOTS / "found.json"
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD:src/lamina/studio"], capture_output=True, text=True
    ).stdout.strip()
    found = json.loads(record.read_text()) if record.is_file() else {}
    found = found if found.get("src") == commit else {"src": commit}
    with tempfile.TemporaryDirectory() as folder:
        digits = lamina.train("lenet5", data="digits", epochs=20, directory=folder, report=False)
        sampler = lamina.train("vae", data="digits", steps=200, directory=folder, report=False)
        shutil.copy(SCRIPT, MODULES)  # modules are looked for beside the script
        words = [sys.executable, "-m", "lamina", "studio", "--runs", folder, "--port", "0", "--json"]
        studio = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert studio.stdout is not None
        try:
            text = ""
            while not text.endswith("}\n"):
                text += studio.stdout.readline() or sys.exit("the studio did not start")
            script = ["node", SCRIPT.name, json.loads(text)["at"], digits.path.name, sampler.path.name]
            for part in args.parts or [part for part in PARTS if part not in found]:
                found[part] = _part(part, script)
                record.write_text(json.dumps(found, indent=1))
        finally:
            studio.terminate()
            studio.wait()
    if missing := [part for part in PARTS if part not in found]:
        sys.exit(f"not done yet: {', '.join(missing)}")
    lines = ["| what | found | errors |", "|---|---|---|"]
    for part in PARTS:
        values, errors = found[part]
        seen = ", ".join(f"{name}: {value}" for name, value in values.items())
        row = f"| {part}: {PARTS[part]} | {seen or '-'} | {'; '.join(errors) or 'none'} |"
        lines.append(row.replace("<", "&lt;").replace("\n", " "))
    print(write_result("studio", "\n".join([QUESTION.format(gradio=version("gradio")), "", *lines])))
    if any(found[part][1] for part in PARTS):
        sys.exit("\n".join(lines))


QUESTION = """Does the studio work as a person uses it? Debian's headless Chromium, driven by playwright-core, gradio
{gradio}; each part is looked at 1280 and 390 pixels wide. Errors would be: of the console, a request to another host, a
file that is opened, a script that runs, a control without a name, a page wider than its window."""


def _part(part: str, script: list[str]) -> tuple[dict[str, object], list[str]]:
    """What one part found, and its errors."""
    words = [*script, str(SHOTS.resolve()), part]
    done = subprocess.run(words, cwd=MODULES, capture_output=True, text=True, timeout=600)
    if not done.stdout.startswith("{"):
        return {}, [f"{done.stdout}{done.stderr}".strip()]
    found = dict(json.loads(done.stdout)[part])
    foreign = [f"request to another host: {url}" for url in found.pop("foreign")]
    print(part, found, flush=True)
    return found, [*found.pop("errors"), *foreign]


if __name__ == "__main__":
    main()
