"""Pages that stand alone: HTML and Markdown from the package's templates, pictures inside."""

import base64
import io
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, select_autoescape
from matplotlib.figure import Figure
from PIL import Image


def render_page(template: str, **values: Any) -> str:
    """Fill a file of `templates/`; values are escaped in HTML."""
    environment = Environment(
        loader=PackageLoader("ipai"),
        autoescape=select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def data_url(image: Image.Image, form: Literal["png", "jpeg"] = "png") -> str:
    """The picture as a `data:` URL: PNG for charts and toy pictures, JPEG for photographs."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def chart_url(figure: Figure) -> str:
    """A chart as the `data:` URL of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
