"""The parser of one verb: jsonargparse with one-line errors that suggest the nearest word."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from lamina.cli.fields import Field
from lamina.errors import UsageError, unknown
from lamina.options.conversion import typed

LATER = ("--model.", "--objective")
"""prefixes of options that are known only once the model is"""


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, max_help_position=26, **settings)


class _WholeHelp(argparse.Action):
    """``--help-all``: print every option, and stop."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(parser.format_help(everything=True), end="")
        parser.exit()


class Parser(ArgumentParser):  # type: ignore[misc]  # jsonargparse is not typed
    """Options are written with dashes; underscores are accepted. No abbreviations."""

    def __init__(self, verb: str, arguments: str, description: str, examples: str = "") -> None:
        lines = [f"  lamina {verb} {line}".rstrip() for line in examples.splitlines()]
        super().__init__(
            prog=f"lamina {verb}",
            usage=f"lamina {verb} {arguments}",
            description="\n".join(textwrap.fill(line, 78) for line in description.splitlines()),
            epilog="\n".join(["examples:", *lines]) if lines else None,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        self.first: tuple[str, ...] = ()
        self.fields: dict[str, Field] = {}
        self.hint = ""  # added to the error for an unexpected argument
        self.others: dict[str, str] = {}  # options of other tools and verbs: what is written in their place

    def show_first(self, options: Sequence[str]) -> None:
        """Let ``--help`` show these options and those of a model, and ``--help-all`` all of them."""
        self.first = (*options, "--help", "--help-all")
        self.add_argument("--help-all", action=_WholeHelp, nargs=0, default=argparse.SUPPRESS, help="show every option")

    def format_help(self, everything: bool = False) -> str:
        """The help text; the options that ``show_first`` names, or all of them."""
        if not self.first or everything:
            return str(super().format_help())
        shown = {action: action.help for action in self._actions}
        for action in self._actions:
            own = any(option.startswith(LATER) for option in action.option_strings)  # of the model that is named
            if action.option_strings and not own and not set(action.option_strings) & set(self.first):
                action.help = argparse.SUPPRESS
        epilog: Any = getattr(self, "epilog", None)
        hidden = sum(action.help == argparse.SUPPRESS for action in self._actions)
        self.epilog = f"--help-all shows {hidden} more options.\n\n{epilog or ''}".rstrip()
        try:
            return str(super().format_help())
        finally:
            self.epilog = epilog
            for action, help_ in shown.items():
                action.help = help_

    def add_common(self, *, quiet: bool = False) -> None:
        """The options that every verb has; --debug is taken by ``main`` wherever it stands."""
        group = self.add_argument_group("output")
        if quiet:
            group.add_argument("--quiet", action="store_true", help="no progress, only notes and the result")
        group.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
        group.add_argument("--debug", action="store_true", help="show the traceback of an error")

    def add_fields(self, title: str, fields: Iterable[Field]) -> None:
        """Options from the fields of a dataclass. Options that are not given are absent from the result."""
        fields = list(fields)
        group = self.add_argument_group(title) if fields else self
        for field in fields:
            self.fields[field.dest] = field
            group.add_argument(field.option, default=argparse.SUPPRESS, help=field.help, **field.how)

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise UsageError for options of a dataclass that have the right type but an invalid value."""
        for cls in {field.cls for field in self.fields.values()}:
            names = {field.name for field in self.fields.values() if field.cls is cls}
            cls(**typed(cls, {name: value for name, value in options.items() if name in names}, "option"))

    def options(self) -> list[str]:
        """All options."""
        return [option for action in self._actions for option in action.option_strings]

    def check_options(self, argv: Sequence[str], *, later: bool = False) -> None:
        """Raise UsageError for an option that is not known; ``later``: the model's options are not known yet."""
        known = self.options()
        for word in argv[: argv.index("--")] if "--" in argv else argv:
            option = word.split("=", 1)[0]
            if word.startswith("--") and option not in known and not (later and word.startswith(LATER)):
                if option in self.others:
                    raise UsageError(f"{option}: {self.others[option]}")
                raise unknown("option", option, known)

    def scan(self, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Scan the words before they are parsed: positional arguments, and values of options."""
        positionals: list[str] = []
        values: dict[str, str] = {}
        words = iter(argv)
        for word in words:
            option, equals, value = word.partition("=")
            if word == "--":
                positionals += words
            elif not word.startswith("-") or word == "-":
                positionals.append(word)
            elif equals:
                values[option] = value
            elif option.startswith(LATER) or any(option in a.option_strings and a.nargs != 0 for a in self._actions):
                values[option] = next(words, "")
            else:
                values[option] = ""
        return positionals, values

    def read(self, argv: Sequence[str]) -> Namespace:
        """Parse; raises UsageError."""
        self.check_options(argv)
        return self.parse_args(list(argv))

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UsageError(self._readable(" ".join(message.split()))) from ex

    def _readable(self, message: str) -> str:
        if found := re.match(r'Parser key "(?P<key>[^"]+)": .*(?:Got|Given) value: (?P<value>.*)', message):
            key, value = found["key"], found["value"]
            if key in self.fields:
                return self.fields[key].complaint(value)
            return f"--{key.replace('_', '-')} cannot take '{value}'"
        if found := re.match(r"unrecognized arguments: (.*)", message):
            word = found[1].split()[0]
            hint = "a switch takes no value: --flip or --no-flip" if word in ("true", "false") else self.hint
            return f"unexpected argument '{word}'" + (f"; {hint}" if hint else "")
        if found := re.match(r"argument (\S+): expected (one|at least one) argument", message):
            return f"{found[1]} needs a value{self._choices(found[1])}"
        if found := re.match(r"argument (\S+): ignored explicit argument", message):
            return f"{found[1].replace('/', ' or ')} takes no value"
        if found := re.match(r"the following arguments are required: (.*)", message):
            names = {a.dest: a.option_strings[0] if a.option_strings else a.metavar for a in self._actions}
            missing = [names.get(dest.strip()) or dest.strip() for dest in found[1].split(",")]
            return f"{' and '.join(missing)} missing: {self.usage}"
        return message

    def _choices(self, option: str) -> str:
        """The allowed values of an option, where they are a fixed set of words."""
        words = next((field.words for field in self.fields.values() if field.option == option), ())
        return f": {', '.join(words[:-1])} or {words[-1]}" if words else ""


def dashed(argv: Sequence[str]) -> list[str]:
    """The words with ``--batch_size=3`` written ``--batch-size=3``: values and words after ``--`` are unchanged."""
    words = list(argv)
    for i, word in enumerate(words):
        if word == "--":
            break
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            words[i] = option.replace("_", "-") + equals + value
    return words
