"""A page of HTML that needs nothing beside it: no script, no font, no picture from elsewhere.

What is said on it is another module's.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from napari_deepmtj.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Dots per inch of pictures of frames; curves are drawn as vectors.
DPI = 110

_KINDS = {"svg": "image/svg+xml", "jpg": "image/jpeg", "png": "image/png"}

#: The browser itself is told to load nothing from anywhere.
_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light; }}
body {{ font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1b1b1b;
 background: #fff; max-width: 76rem; margin: 2rem auto; padding: 0 1.5rem; }}
h1 {{ font-size: 1.6rem; margin: 0 0 .3rem; }}
h2 {{ font-size: 1.2rem; margin: 2.4rem 0 .5rem; border-bottom: 1px solid #ccc; }}
h3 {{ font-size: 1rem; margin: 1.4rem 0 .4rem; }}
p, ul {{ max-width: 60rem; margin: .5rem 0; }}
.badge {{ display: inline-block; font-weight: 700; padding: .1rem .6rem; border-radius: .3rem; }}
.phantom {{ background: #fff0c8; border: 1px solid #c98a00; }}
.real {{ background: #dff2e8; border: 1px solid #009e73; }}
.published {{ background: #f2f2f2; border-left: 4px solid #777; padding: .4rem .9rem .7rem;
 margin: 1rem 0; }}
.note {{ color: #444; font-size: .9rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .55rem; text-align: right; white-space: nowrap; }}
th {{ border-bottom: 1.5px solid #333; vertical-align: bottom; }}
td {{ border-bottom: 1px solid #e4e4e4; }}
th:first-child, td:first-child, .words th, .words td {{ text-align: left; }}
svg {{ vertical-align: middle; }}
.words td:last-child {{ white-space: normal; overflow-wrap: anywhere; }}
figure {{ margin: .8rem 0; }}
figcaption {{ font-size: .85rem; color: #333; max-width: 60rem; }}
img {{ max-width: 100%; height: auto; }}
.grid {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1rem; }}
.grid figure {{ margin: 0; }}
code {{ font-size: .85rem; overflow-wrap: anywhere; }}
@media print {{ body {{ max-width: none; margin: 0; }} figure, tr {{ break-inside: avoid; }} }}
</style>
</head>
<body>
"""


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


class Markup(str):
    """A piece of a page that is none of anybody's words, such as a drawing: it is not escaped."""

    __slots__ = ()


class Page:
    """A page that grows from top to bottom; every text but `Markup` is escaped here, once.

    Parameters
    ----------
    title : str
        Of the window.
    """

    def __init__(self, title: str) -> None:
        self._parts = [_HEAD.format(title=html.escape(title))]

    def heading(self, level: Literal[1, 2, 3], text: str) -> None:
        """Add a heading."""
        self._parts.append(f"<h{level}>{html.escape(text)}</h{level}>\n")

    def paragraph(self, text: str, kind: str = "") -> None:
        """Add a paragraph, of a class of the style sheet."""
        said = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{said}>{html.escape(text)}</p>\n")

    def badge(self, text: str, kind: str) -> None:
        """Add a few words nobody overlooks."""
        self._parts.append(f'<p><span class="badge {kind}">{html.escape(text)}</span></p>\n')

    def points(self, texts: Iterable[str]) -> None:
        """Add a list; nothing if it is empty."""
        items = "".join(f"<li>{html.escape(text)}</li>\n" for text in texts)
        if items:
            self._parts.append(f"<ul>\n{items}</ul>\n")

    def table(
        self, header: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False
    ) -> None:
        """Add a table, of numbers or of words; a line break in a cell is one there, too."""
        head = "".join(f"<th>{_lines(text)}</th>" for text in header)
        body = "".join(
            "<tr>" + "".join(f"<td>{_lines(text)}</td>" for text in row) + "</tr>\n" for row in rows
        )
        kind = ' class="words"' if words else ""
        self._parts.append(
            f'<div class="scroll"><table{kind}>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody></table></div>\n"
        )

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
        said = html.escape(caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{said}" src="data:{_KINDS[kind]};base64,{text}">{_lines(below)}'
            f"<figcaption>{said}</figcaption></figure>\n"
        )

    def drawing(self, drawing: Markup) -> None:
        """Add a drawing that is markup already."""
        self._parts.append(f"<div>{drawing}</div>\n")

    def open(self, kind: str) -> None:
        """Begin a box of a class of the style sheet."""
        self._parts.append(f'<div class="{kind}">\n')

    def close(self) -> None:
        """End the box."""
        self._parts.append("</div>\n")

    def finish(self) -> bytes:
        """Return the whole page."""
        return "".join([*self._parts, "</body>\n</html>\n"]).encode("utf-8")


def _lines(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text).replace("\n", "<br>")
