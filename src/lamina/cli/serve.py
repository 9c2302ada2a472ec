"""``lamina serve``: a run over HTTP."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence

from lamina.cli.fields import fields_of
from lamina.cli.output import as_json, facts, note
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_path
from lamina.errors import UsageError
from lamina.export.formats import ENGINES, check_engine
from lamina.serving.limits import ServingOptions

LOOPBACK = ("127.0.0.1", "::1", "localhost")
NEEDS = ("fastapi", "uvicorn", "python_multipart")


def parser() -> Parser:
    text = (
        "Serve a run over HTTP: POST /predict, /generate and /embed, GET /health, /metrics and /openapi.json. "
        "Requests are computed together; SIGTERM finishes those that were accepted. With LAMINA_API_KEY in the "
        "environment requests need that key, as a bearer token or as X-API-Key."
    )
    examples = "runs/lenet5-digits\nruns/lenet5-digits --port 0 --engine onnxruntime --batch 64"
    parser = Parser("serve", "RUN [options]", text, examples)
    add_run(parser)
    parser.add_argument("--host", type=str, default="127.0.0.1", help="the address to serve at (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="the port; 0: a free one (default: 8000)")
    parser.add_argument(
        "--engine", type=str, default="torch", help=f"what predicts: {', '.join(ENGINES)} (default: torch)"
    )
    parser.add_fields("limits", fields_of(ServingOptions))
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    reader = parser()
    args = reader.read(dashed(argv))
    given = {name: value for name, value in args.as_dict().items() if name in reader.fields}
    options = ServingOptions(**given)
    path = run_path(args.run, args.runs)
    check_engine(args.engine)
    expect_installed()

    from lamina.serving.address import address_of, bound
    from lamina.serving.server import KEY, key_of_environment, serve

    key = key_of_environment()
    listening = bound(args.host, args.port)
    try:
        from lamina.serving.app import make_app
        from lamina.serving.service import Service

        service = Service(path, options, args.engine)
    except BaseException:
        listening.close()
        raise
    if key is None and args.host not in LOOPBACK:
        note(f"served at {args.host} without a key: {KEY} in the environment sets one")
    logging.basicConfig(level=logging.WARNING)

    def ready() -> None:
        about = {"serving": str(path), "at": address_of(listening), "verbs": list(service.verbs)}
        if args.json:
            as_json(about)
        else:
            facts({**about, "verbs": ", ".join(service.verbs), "key": "" if key is None else "needed"})
        print(end="", flush=True)

    serve(make_app(service, key), listening, ready, 2 * options.timeout)
    return 0


def expect_installed() -> None:
    """Raise UsageError where a package of the server is missing."""
    missing = [name for name in NEEDS if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"serving needs {' and '.join(missing)}: pip install 'lamina[serve]'")
