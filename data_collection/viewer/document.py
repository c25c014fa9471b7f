"""A page as one document, so that one request with one token brings all of it, and none goes elsewhere."""

import base64
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

PACKAGE = "data_collection"
TIMELINE = ("viewer/curves.js", "viewer/timeline.js")  # scripts, behind vectors.js; and viewer/timeline.css


def assembled(page: str, style: tuple[str, ...], scripts: tuple[str, ...], marks: Mapping[str, str]) -> str:
    """The page, with its style and script in it.

    page, style, scripts: files below the package, such as 'viewer/view.js'; each script uses those before it.
    marks: what stands in the page for {name}, besides {style} and {script}.
    """
    own = {
        "style": "\n".join(map(_text, style)),
        "script": '"use strict";\n' + "\n".join(map(_text, scripts)),
    }
    text = _text(page)
    for name, content in {**marks, **own}.items():
        text = text.replace(f"{{{name}}}", content)
    return text


def policy_of(text: str) -> str:
    """What of a page a browser may run: its own script and style, and nothing else."""
    style, script = (_hash(_inside(text, tag)) for tag in ("style", "script"))
    return (
        "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; "
        f"base-uri 'none'; form-action 'none'; style-src {style}; script-src {script}"
    )


def _text(name: str) -> str:
    return files(PACKAGE).joinpath(*name.split("/")).read_text()


def _inside(text: str, tag: str) -> str:
    return text.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
