"""``lamina studio``: the page in the browser."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from lamina.cli.output import as_json, facts
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_runs
from lamina.errors import UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parser() -> Parser:
    text = (
        "Explore, train, try, compare and claims in the browser, on this machine alone. What a button does is one call "
        "of the public API, shown beside its result. Trainings go on when the page or the studio is closed."
    )
    parser = Parser("studio", "[options]", text, "\n--port 7861 --runs experiments")
    add_runs(parser)
    parser.add_argument("--host", type=str, default="127.0.0.1", help="127.0.0.1 or ::1 (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=7860, help="the port (default: 7860)")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    if args.host not in LOOPBACK:
        raise UsageError(f"--host {args.host}: the studio is for this machine alone; serve runs with lamina serve")
    if importlib.util.find_spec("gradio") is None:
        raise UsageError("the studio needs gradio: pip install 'lamina[studio]'")

    from lamina.serving.address import address_of, bound

    with bound(args.host, args.port) as free:
        address, port = address_of(free), int(free.getsockname()[1])
    runs = Path(args.runs).expanduser()
    runs.mkdir(parents=True, exist_ok=True)

    from lamina.studio.page import launch, make_page

    page = make_page(runs)
    if args.json:
        as_json({"at": address, "runs": str(runs)})
    else:
        facts({"studio": address, "runs": str(runs), "end it": "Ctrl-C"})
    print(end="", flush=True)
    try:
        launch(page, args.host, port)
    except OSError:  # another has taken the port in the meantime
        raise UsageError(f"cannot serve at {args.host}, port {port}: it is in use; --port takes another") from None
    return 0
