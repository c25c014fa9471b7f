"""What of the demo is finished: `stages.json`."""

import json
from pathlib import Path
from typing import Any

from robot_orl.commands.demo.stages import Stage
from robot_orl.errors import UsageError
from robot_orl.schema import differing


class Done:
    """Which stages are finished, by their exact words, how long each took [s] and what they measured."""

    def __init__(self, path: Path, settings: dict[str, Any], defaults: dict[str, Any]) -> None:
        """defaults: of settings that an older demo did not have.

        Raises: UsageError: the stages at `path` are of other settings, or it cannot be written.
        """
        self.path, self.settings = path, settings
        self.seconds: dict[str, float] = {}
        self.kept: dict[str, Any] = {}
        before = settings
        try:
            known = json.loads(path.read_text())
            before, self.seconds = known["settings"], dict(known["seconds"])
            self.kept = dict(known.get("kept", {}))
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if changed := differing(before, settings, defaults=defaults):
            raise UsageError(
                f"{path.parent} holds a demo with other values of: {', '.join(changed)}; choose another "
                "out= or remove it"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write()
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    @property
    def spent_s(self) -> float:
        return sum(self.seconds.values())

    def has(self, stage: Stage) -> bool:
        return stage.key in self.seconds and stage.makes.exists()

    def add(self, stage: Stage, seconds: float) -> None:
        self.seconds[stage.key] = round(seconds, 1)
        if stage.keeps is not None:
            self.kept[stage.name] = json.loads(stage.keeps.read_text())
        self._write()

    def _write(self) -> None:
        partial = self.path.with_suffix(".partial")
        content = {"settings": self.settings, "seconds": self.seconds, "kept": self.kept}
        partial.write_text(json.dumps(content, indent=2) + "\n")
        partial.replace(self.path)
