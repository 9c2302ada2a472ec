"""The studio in headless Chromium, as a person uses it: ``studio_browser.mjs`` on two runs that are trained here.

A seven that is drawn is recognised, a training on an uploaded CSV moves its curve, stops and goes on, a slider changes
the samples, no page error, no request to another host, no file opened by a traversal, and no page wider than a phone.
Screenshots are in ``build/studio``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import lamina
from benchmarks.measure import write_result

SCRIPT = Path(__file__).with_name("studio_browser.mjs")
MODULES = Path(".studio")
SHOTS = Path("build/studio")


def main() -> None:
    """Train two runs, start the studio, run the script, write the result."""
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
            shots = str(SHOTS.resolve())
            done = subprocess.run([*script, shots], cwd=MODULES, capture_output=True, text=True, timeout=1800)
        finally:
            studio.terminate()
            studio.wait()
    if done.returncode:
        sys.exit(f"{done.stdout}\n{done.stderr}")
    write_result("studio", f"```\n{done.stdout}```\n")


if __name__ == "__main__":
    main()
