"""Pages from templates: everything that is filled in comes out escaped, text of names is never markup."""

from __future__ import annotations

from importlib import resources

from lamina.report.wording import clean


def render(template: str, *, package: str = "lamina.report", **values: object) -> str:
    """A template of ``package``, or else one of this, filled in. A value that a template lacks raises."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def load(name: str) -> str | None:
        for home in (package, "lamina.report"):
            file = resources.files(home).joinpath(name)
            if file.is_file():
                return file.read_text(encoding="utf-8")
        return None

    environment = Environment(
        loader=FunctionLoader(load),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return clean(environment.get_template(template).render(**values))
