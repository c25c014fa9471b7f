"""The page as one document, so that one request with one token brings all of it, and none goes elsewhere."""

import base64
from hashlib import sha256
from importlib.resources import files

SCRIPTS = ("vectors.js", "view.js", "gizmo.js", "hands.js", "page.js")  # each uses those before it


def assembled(token: str) -> tuple[str, str]:
    """The page, and what of it a browser may run: its own script and style, and nothing else."""
    folder = files(__package__)
    style = folder.joinpath("page.css").read_text()
    script = '"use strict";\n' + "\n".join(folder.joinpath(name).read_text() for name in SCRIPTS)
    text = folder.joinpath("page.html").read_text()
    for mark, content in (("{token}", token), ("{style}", style), ("{script}", script)):
        text = text.replace(mark, content)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; frame-ancestors 'none'; "
        f"base-uri 'none'; form-action 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    return text, policy


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
