"""One HTML file that needs no network and no script: style and frame of every page."""

from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from robot_orl import __version__
from robot_orl.errors import RunError


def write_document(
    path: Path, title: str, body: list[str], footer: str, styles: tuple[str, ...] = ()
) -> None:
    """The page appears complete or not at all.

    title: text.  body, footer: HTML.  styles: stylesheets beside this file that go behind the common one.
    Raises: RunError: it cannot be written.
    """
    style = "\n".join(_asset(name) for name in ("style.css", *styles))
    parts = {"version": __version__, "title": escape(title), "style": style, "footer": footer}
    page = Template(_asset("template.html")).substitute(parts, body="\n".join(body))
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8", errors="replace")  # names of files are any bytes
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise RunError(f"cannot write report {path}: {error.strerror}") from error


def _asset(name: str) -> str:
    return (files("robot_orl.report") / name).read_text(encoding="utf-8")
