"""Pages that stand alone: HTML and Markdown from templates, pictures inside."""

import base64
import io
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, PackageLoader, select_autoescape
from PIL import Image

if TYPE_CHECKING:  # it takes a second to import, and text needs none of it
    from matplotlib.figure import Figure


def render_page(template: str, package: str = "ipai", **values: Any) -> str:
    """Fill a file of a package's `templates/`; values are escaped in HTML, and by `cell` for a Markdown table."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=select_autoescape(["html.jinja"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(**values)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def data_url(image: Image.Image, form: Literal["png", "jpeg"] = "png") -> str:
    """The picture as a `data:` URL: PNG for charts and toy pictures, JPEG for photographs."""
    buffer = io.BytesIO()
    image.save(buffer, form)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def chart_url(figure: "Figure") -> str:
    """A chart as the `data:` URL of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
