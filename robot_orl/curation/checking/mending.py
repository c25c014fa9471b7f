"""Carries out the plan of a repair. Killed at any moment, the next repair ends in the same state.

Every step is a rename, or prepares a copy below the quarantine that is then renamed to where it belongs. A
new segment says `replaces: [old]` from its first moment on, so that no episode counts twice.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from robot_orl.curation.checking.chunks import episodes, readers_of
from robot_orl.curation.checking.repair import (
    DRAFT,
    CutTail,
    MoveAway,
    Plan,
    RebuildRoot,
    RecoverJournals,
    RemoveDraft,
    Rewrite,
    Seal,
    Step,
)
from robot_orl.curation.checking.segment_scan import GROUP_FILE, Scan
from robot_orl.curation.copying import identity
from robot_orl.data.store import layout, lock
from robot_orl.data.store.journal import QUARANTINE
from robot_orl.data.store.layout import DATASET_FILE, LOG_FILE, SEGMENTS
from robot_orl.data.store.local import sync, sync_below
from robot_orl.data.store.open_segment import OpenSegment, Prepared
from robot_orl.data.store.places import place_at
from robot_orl.data.store.records import encode_rewards, to_line
from robot_orl.data.store.recovery import recover
from robot_orl.data.store.root import write_dataset_file
from robot_orl.errors import DataError, RunError

REPORT = "report.json"
LOCK = ".repair.lock"
GROUP_BYTES = 2**23
OF_THE_FILE = ("nodes", "sealed", "episodes", "steps", "crc32c")  # attributes that a new segment makes anew


class Mending:
    """One repair. now: names its folder.  advance: gets the number of episodes copied since.

    folder: where it puts what it moves away.
    """

    def __init__(self, plan: Plan, now: datetime, advance: Callable[[int], None] = lambda _: None) -> None:
        self.plan = plan
        self.root = plan.root
        self.folder = self.root / QUARANTINE / now.strftime("%Y%m%dT%H%M%S.%fZ")
        self._advance = advance

    def run(self) -> list[str]:
        """Carry out all steps; returns what is to be told besides.

        Raises: DataError: somebody writes the dataset, or repairs it.  RunError: the disk refuses.
        """
        try:
            self.folder.mkdir(parents=True)
            with self._alone():
                self._report(done=False)
                told = [line for step in self.plan.steps for line in self._do(step)]
                self._report(done=True)
                shutil.rmtree(self.folder / DRAFT, ignore_errors=True)
        except OSError as error:
            where = error.filename or self.root
            raise RunError(
                f"cannot write {where}: {error.strerror}; nothing is lost: repair again"
            ) from error
        return told

    def _do(self, step: Step) -> list[str]:
        if isinstance(step, RecoverJournals):
            summary = recover(self.root).summary()
            return [summary] if summary else []
        if isinstance(step, RemoveDraft):
            shutil.rmtree(self.root / step.path)
        elif isinstance(step, RebuildRoot):
            self._rebuild_root(step)
        elif isinstance(step, MoveAway):
            with self._held(step.segment):
                for path in step.paths:
                    self._move(path)
        elif isinstance(step, Rewrite):
            with self._held(step.scan.name):
                self._rewrite(step.scan)
        elif isinstance(step, CutTail):
            with self._held(step.scan.name):
                self._cut(step.scan)
        else:
            with self._held(step.scan.name):
                self._seal(step)
        return []

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = self.root / QUARANTINE
        try:
            held = lock.hold(folder, LOCK)
        except BlockingIOError as error:
            raise DataError(f"{self.root} is being repaired by {lock.holder(folder, LOCK)}") from error
        try:
            yield
        finally:
            os.close(held)

    @contextmanager
    def _held(self, segment: str | None) -> Iterator[None]:
        """As the segment's writer, so that there is no other."""
        if segment is None:
            yield
            return
        place = place_at(self.root).child(SEGMENTS).child(segment)
        try:
            held = place.hold()
        except BlockingIOError as error:
            raise DataError(f"{place.path} is being written by {place.holder()}: wait for it") from error
        with closing(held):
            yield

    def _report(self, done: bool) -> None:
        """Why, what, and which episodes are damaged."""
        document = {
            "dataset": str(self.root),
            "done": done,
            "steps": [str(step) for step in self.plan.steps],
            "kept": self.plan.kept,
            "lost": [{k: v for k, v in r.to_dict().items() if k != "reward"} for r in self.plan.lost],
            "lost_without_a_line": self.plan.unlisted,
            "findings": [finding.to_dict() for finding in self.plan.findings],
        }
        self._replace(self.folder / REPORT, json.dumps(document, indent=1, default=layout.plain).encode())

    def _replace(self, file: Path, content: bytes) -> None:
        """A file's new content, complete or not at all."""
        draft = self.folder / DRAFT / uuid4().hex
        draft.parent.mkdir(exist_ok=True)
        draft.write_bytes(content)
        sync(draft)
        os.replace(draft, file)
        sync(file.parent)

    def _move(self, path: str) -> None:
        source, target = self.root / path, self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        sync(target.parent)
        sync(source.parent)

    def _save(self, path: str) -> None:
        """A copy of a file that is about to change."""
        if (self.root / path).exists():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / path, target)
            sync(target)

    def _rebuild_root(self, step: RebuildRoot) -> None:
        self._save(DATASET_FILE)
        model = self.folder / DRAFT / "root"
        write_dataset_file(place_at(model), step.spec)
        self._replace(self.root / DATASET_FILE, (model / DATASET_FILE).read_bytes())

    def _cut(self, scan: Scan) -> None:
        name = f"{SEGMENTS}/{scan.name}/{LOG_FILE}"
        self._save(name)
        with closing(scan.place.open_log(LOG_FILE, cut=len(scan.log.torn))):
            pass
        sync(self.root / name)

    def _seal(self, step: Seal) -> None:
        """The arrays end where the log does; then the attributes say so."""
        scan, segment = step.scan, self.root / SEGMENTS / step.scan.name
        assert scan.attributes is not None
        for name, item in scan.fields.items():
            file = segment / name / GROUP_FILE
            document = json.loads(file.read_bytes())
            rows = scan.log.steps + scan.log.episodes * item.extra_row
            if document["shape"][0] != rows:
                document["shape"][0] = rows
                self._replace(file, json.dumps(document, indent=2).encode())
        counts = {"sealed": True, "episodes": scan.log.episodes, "steps": scan.log.steps}
        content = {key: value for key, value in scan.attributes.items() if key != "crc32c"}
        document = json.loads((segment / GROUP_FILE).read_bytes())
        document["attributes"] = layout.guarded({**content, **counts})
        self._replace(segment / GROUP_FILE, json.dumps(document, indent=2).encode())

    def _rewrite(self, scan: Scan) -> None:
        name = f"{scan.name.rpartition('_')[0] or scan.name}_{uuid4().hex[:8]}"  # keeps its place in time
        draft = self.folder / DRAFT / name
        place_at(draft).make()
        segment = OpenSegment(place_at(draft), scan.fields, self._attributes(scan))
        try:
            lines = self._copy(scan, segment, name)
            segment.seal()
        finally:
            segment.release()
        if lines:
            with closing(place_at(draft).open_log(LOG_FILE)) as log:
                log.append(b"".join(map(to_line, lines)))
        sync_below(draft)
        os.rename(draft, self.root / SEGMENTS / name)
        sync(self.root / SEGMENTS)
        self._move(f"{SEGMENTS}/{scan.name}")

    def _attributes(self, scan: Scan) -> dict[str, Any]:
        """Those of the old segment, as far as they are known."""
        if scan.attributes is not None:
            known = {key: value for key, value in scan.attributes.items() if key not in OF_THE_FILE}
            config = {**(known["config"] or {}), "replaces": [*scan.replaces, scan.name]}
            return {**known, "format_version": layout.FORMAT_VERSION, "sealed": False, "config": config}
        assert scan.spec is not None
        created, _, rest = scan.name.partition("_")
        state = scan.fields.get("sim/state")
        return {
            "format_version": layout.FORMAT_VERSION,
            "task": scan.spec.task,
            "spec": scan.spec.to_dict(),
            "control_hz": scan.spec.control_hz,
            "source": rest.rpartition("_")[0] or "unknown",
            "packages": {},
            "git_revision": None,
            "created": created,
            "sealed": False,
            "sim_state_size": None if state is None else state.row[0],
            **({"safety_bits": layout.SAFETY_BITS} if layout.SAFETY in scan.fields else {}),
            "config": {"replaces": [scan.name], "note": "attributes were lost by damage"},
            "env_kwargs": {},
        }

    def _copy(self, scan: Scan, segment: OpenSegment, name: str) -> list[dict[str, Any]]:
        """Append the intact episodes; returns the lines that give them their later labels under new ids."""
        lines: list[dict[str, Any]] = []
        group: list[Prepared] = []
        for number, (record, rows) in enumerate(episodes(readers_of(scan.place, scan.fields), scan.intact)):
            if rows.problems:
                raise RunError(f"{scan.place.path} changed while it was being repaired: repair again")
            stored = scan.log.stored[record.index]
            episode = layout.from_columns(rows.columns, stored.meta)
            group.append(Prepared(episode, rows.columns, identity(record)))
            if stored.reward is not None:
                lines.append({"id": f"{name}:{number}", "reward": encode_rewards(stored.reward)})
            lines += [_renamed(line, f"{name}:{number}") for line in scan.log.history.get(record.index, ())]
            if sum(rows.nbytes for one in group for rows in one.columns.values()) >= GROUP_BYTES:
                segment.append(group)
                group = []
            self._advance(1)
        if group:
            segment.append(group)
        return lines


def _renamed(line: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**line, "id": name}
