"""What the sections share: names of stages, the frame of a section, and the sentence for what is missing."""

WHO = {
    "data": "Demonstrations",
    "bc": "Behaviour cloning",
    "offline": "Offline",
    "online": "Online",
}


def section(name: str, heading: str, intro: str, body: str) -> str:
    """A part of the page; intro and body are HTML."""
    said = f'<p class="about">{intro}</p>'
    return f'<section id="{name}"><h2>{heading}</h2>{said}{body}</section>'


def missing(sentence: str) -> str:
    """What stands where a part cannot be shown; the sentence is HTML."""
    return f'<p class="missing">{sentence}</p>'


def duration(seconds: float) -> str:
    """75 -> '75 s', 600 -> '10.0 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
