"""HTML and Markdown from the package's templates."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape


def render_page(template: str, **values: Any) -> str:
    """Fill a file of `templates/`; values are escaped in HTML."""
    environment = Environment(
        loader=PackageLoader("ipai.toyworld"),
        autoescape=select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
