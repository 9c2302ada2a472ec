"""The documentation site in headless Chromium: ``site_browser.mjs`` on eight pages of ``build/site`` (``make docs``),
wide and narrow, light and dark. Screenshots are in ``build/looked``.

What ``tests/docs/test_site.py`` checks on every page (headings, alternative texts, links, nothing of another host) is
not checked again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.measure import write_result

SCRIPT = Path(__file__).with_name("site_browser.mjs")
MODULES, SITE, SHOTS = Path(".studio"), Path("build/site"), Path("build/looked")
PAGES = ("", "getting_started/", "data/", "families/resnet/", "gallery/", "claims/", "api/training/", "studio/")
QUESTION = """Can the site be read, wide and narrow, light and dark? Debian's headless Chromium through playwright-core,
1280 and 390 pixels wide, the colours that the reader's system prefers. Faults would be: text whose contrast is below
WCAG's AA (4.5, large text 3), a page wider than its window, an error of the console, a request to another host."""


class Quiet(SimpleHTTPRequestHandler):
    """Without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    """Serve the site, look, write the result."""
    if not (SITE / "index.html").is_file():
        sys.exit("build the site first: make docs")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shutil.copy(SCRIPT, MODULES)  # modules are looked for beside the script
    words = ["node", SCRIPT.name, f"http://127.0.0.1:{server.server_port}", str(SHOTS.resolve()), *PAGES]
    done = subprocess.run(words, cwd=MODULES, capture_output=True, text=True, timeout=1200)
    server.shutdown()
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if len(found) < len(PAGES):
        sys.exit(f"{done.stdout}\n{done.stderr}")
    rows = [f"| {one['path']} | {'; '.join(one['faults']) or 'none'} |" for one in found]
    print("\n".join(rows))
    write_result("site", "\n".join([QUESTION, "", "| page | faults |", "|---|---|", *rows]))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
