"""Which checkpoints a run keeps, and which of them is used where one is damaged.

offline.ckpt            the last; training goes on from it
offline.previous.ckpt   the one before it, used where the last is damaged
offline.best.ckpt       the best by the learning curve, see `is_better`, and by the run-off at the end
offline.10000.ckpt      that of step 10000, where one is kept every N

A save writes one file and renames two. Killed between the renames there is no last one, only a previous
one, as if the kill had come before the save.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.progress import console
from robot_orl.training.evaluate import Evaluation
from robot_orl.training.runs.checkpoint import NotWhole, load_checkpoint, save_checkpoint

LAST, PREVIOUS, BEST = "last", "previous", "best"


class Checkpoints:
    """The checkpoints in one folder. One writer at a time, who loads a stage before saving it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._fallen_back: set[str] = set()  # stages whose last one is damaged

    def path(self, stage: str, which: str = LAST) -> Path:
        """which: last, previous, best, or a step."""
        return self.folder / (f"{stage}.ckpt" if which == LAST else f"{stage}.{which}.ckpt")

    def has(self, stage: str, which: str = LAST) -> bool:
        if which == LAST and self.path(stage, PREVIOUS).is_file():
            return True
        return self.path(stage, which).is_file()

    def save(self, stage: str, state: dict[str, Any]) -> None:
        """The new last one; the last one until now, if it is whole, becomes the previous one."""
        last = self.path(stage)
        pushed_to = None if stage in self._fallen_back else self.path(stage, PREVIOUS)
        save_checkpoint(last, state, pushed_to)
        self._fallen_back.discard(stage)

    def save_best(self, stage: str, state: dict[str, Any], evaluation: Evaluation, step: int) -> bool:
        """Keep `state`, measured as `evaluation` at `step`, if none kept before is better; tells whether."""
        best = self.best(stage)
        if best is not None and not is_better(evaluation, best[0]):
            return False
        self.put_best(stage, state, evaluation, step)
        return True

    def put_best(self, stage: str, state: dict[str, Any], evaluation: Evaluation, step: int) -> None:
        """Keep `state`, measured as `evaluation` at `step`, as the best, whatever was kept before."""
        figures = {"step": step, "evaluation": evaluation.to_dict()}
        save_checkpoint(self.path(stage, BEST), state | {"best": figures})

    def best(self, stage: str) -> tuple[Evaluation, int] | None:
        """How the best one was measured, and at which step; None: there is none, or it is damaged."""
        if not self.has(stage, BEST):
            return None
        try:
            figures = load_checkpoint(self.path(stage, BEST)).get("best")
        except NotWhole as broken:
            _warn(f"{broken}; the next one measured takes its place")
            return None
        if figures is None:
            return None
        measured = figures["evaluation"]
        low, high = measured["wilson95"]
        return Evaluation(**measured | {"wilson95": (low, high)}), figures["step"]

    def keep(self, stage: str, step: int) -> None:
        """Keep what `load` finds for good; its bytes are not written twice."""
        kept, source = self.path(stage, str(step)), self.find(stage)[0]
        partial = kept.with_suffix(".partial")
        try:
            partial.unlink(missing_ok=True)
            if kept.exists() and kept.samefile(source):
                return  # renaming a second link to a file over the first would leave both
            try:
                os.link(source, partial)
            except OSError:  # a file system without hard links
                shutil.copyfile(source, partial)
            partial.replace(kept)
        except OSError as error:
            raise RunError(f"cannot write checkpoint {kept}: {error.strerror}") from error

    def kept(self, stage: str) -> list[int]:
        """The steps whose checkpoints are kept for good, in order."""
        names = (path.name.split(".")[1] for path in self.folder.glob(f"{stage}.*.ckpt"))
        return sorted(int(name) for name in names if name.isdecimal())

    def load(self, stage: str, which: str = LAST) -> dict[str, Any]:
        """What `find` finds."""
        return self.find(stage, which)[1]

    def find(self, stage: str, which: str = LAST) -> tuple[Path, dict[str, Any]]:
        """A checkpoint and where it lies: for a damaged last one the previous one, with a warning.

        Raises: DataError: there is none, or none that is whole.
        """
        path, previous = self.path(stage, which), self.path(stage, PREVIOUS)
        if which != LAST:
            self._require(stage, which)
        try:
            return path, load_checkpoint(path)
        except NotWhole as broken:
            if which != LAST or not previous.is_file():
                raise
            said = str(broken)
        try:
            state = load_checkpoint(previous)
        except NotWhole as broken:
            raise DataError(f"{said}, and {broken}") from broken
        if stage not in self._fallen_back:
            _warn(f"{said}; {previous.name}, saved before it, is used")
            self._fallen_back.add(stage)
        return previous, state

    def _require(self, stage: str, which: str) -> None:
        if not self.has(stage, which):
            found = sorted(path.name for path in self.folder.glob(f"{stage}.*ckpt"))
            there = ", ".join(found) or "none"
            raise UsageError(f"no checkpoint {self.path(stage, which)}; of '{stage}' there is: {there}")


def is_better(new: Evaluation, old: Evaluation) -> bool:
    """By the lower bound of the success rate's 95% interval; a tie goes to the new one.

    The rate itself would favour luck: 10 of 10 episodes (bound 72%) say less than 95 of 100 (89%).
    """
    return new.wilson95[0] >= old.wilson95[0]


def _warn(text: str) -> None:
    console.print(f"warning: {text}", highlight=False, soft_wrap=True)
