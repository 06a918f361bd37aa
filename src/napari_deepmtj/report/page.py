"""A page of HTML that needs nothing beside it: no script, no font, no picture from elsewhere.

`page.html` is its template; what is said on it is another module's.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape

from napari_deepmtj.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Dots per inch of pictures of frames; curves are drawn as vectors.
DPI = 110

_KINDS = {"svg": "image/svg+xml", "jpg": "image/jpeg", "png": "image/png"}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, without pyplot's state and without Qt.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("the evaluation's report", "plots") from error
    return Figure(figsize=(width, height), layout="constrained")


class Page:
    """A page that grows from top to bottom; every text but `Markup` is escaped by the template.

    Parameters
    ----------
    title : str
        Of the window.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._blocks: list[tuple[str, dict[str, Any]]] = []

    def heading(self, level: Literal[1, 2, 3], text: str) -> None:
        """Add a heading."""
        self._add("heading", level=level, text=text)

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph, of a class of the style sheet."""
        self._add("paragraph", text=text, style=kind)

    def badge(self, text: str, kind: str) -> None:
        """Add a few words nobody overlooks."""
        self._add("badge", text=text, style=kind)

    def points(self, texts: Iterable[str]) -> None:
        """Add a list; nothing if it is empty."""
        if items := list(texts):
            self._add("points", texts=items)

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False
    ) -> None:
        """Add a table, of numbers or of words; a line break in a cell is one there, too."""
        self._add("table", header=header, rows=list(rows), words=words)

    def figure(self, figure: Figure, kind: Literal["svg", "jpg", "png"], caption: str) -> None:
        """Add a drawing, inside the page itself; its caption is also what is read out for it."""
        file = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
        self.picture(file.getvalue(), kind, caption)

    def picture(
        self, data: bytes, kind: Literal["svg", "jpg", "png"], caption: str, below: str = ""
    ) -> None:
        """Add a file of a picture, as `figure` does; `below` stands between it and its caption."""
        text = base64.b64encode(data).decode("ascii")
        self._add("picture", data=text, mime=_KINDS[kind], caption=caption, below=below)

    def drawing(self, drawing: Markup) -> None:
        """Add a drawing that is markup already."""
        self._add("drawing", drawing=drawing)

    def open(self, kind: str) -> None:
        """Begin a box of a class of the style sheet."""
        self._add("open", style=kind)

    def close(self) -> None:
        """End the box."""
        self._add("close")

    def finish(self) -> bytes:
        """Return the whole page."""
        from jinja2 import Environment, StrictUndefined

        environment = Environment(autoescape=True, undefined=StrictUndefined)
        environment.filters["lines"] = _lines
        text = resources.files("napari_deepmtj.report").joinpath("page.html").read_text("utf-8")
        page = environment.from_string(text).render(title=self._title, blocks=self._blocks)
        return page.encode("utf-8")

    def _add(self, block: str, **content: Any) -> None:
        self._blocks.append((block, content))


def _lines(text: str) -> Markup:
    """Return a text with its line breaks; markup stays as it is."""
    return escape(text).replace("\n", Markup("<br>"))
