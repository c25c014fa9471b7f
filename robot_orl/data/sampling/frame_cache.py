"""Camera frames as raw files that are memory-mapped: any frame at once, where the disk has room for them.

    folder/<segment>/<camera>.<key>.u1     every frame of the segment, (N+E, H, W, 3) uint8, nothing else

The key is a digest of the checksums of all episodes in the segment: data that changed has another key, so a
file under the right key and of the right size is right, and one under another is stale and removed. A file
gets its name by a rename once it is complete. The folder can be deleted at any time.
"""

import mmap
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path

import numpy as np

from robot_orl.data.sampling.blocks import blocks_of, plan, read_block
from robot_orl.data.sampling.frames import FrameBatch, FrameStream, camera_fields
from robot_orl.data.store import layout, lock
from robot_orl.data.store.layout import Field
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.segment import Segment
from robot_orl.errors import DataError, RunError
from robot_orl.types import Array

SPARE_BYTES = 2**31  # that are left on the disk for others
_BUILD_CHUNKS = 8  # read together while building


def open_frames(
    dataset: Dataset, folder: Path, cameras: Sequence[str] | None = None, n_step: int = 1
) -> "MappedFrames | FrameStream":
    """Frames from the cache in `folder`, which is built if need be, or from the dataset where it cannot be.

    Raises: UsageError: no such camera.  DataError: the data is damaged, or there are no frames.
    """
    try:
        return MappedFrames(dataset, folder, cameras, n_step)
    except RunError:
        return FrameStream(dataset, cameras, n_step)


class MappedFrames:
    """Frames of the episodes in use by random access. Arguments as of `FrameStream`.

    folder: of the cache; what is missing in it is built. spare_bytes: to be left free on its disk.
    Raises: RunError: no room or no permission, or another process builds it now.
    """

    def __init__(
        self,
        dataset: Dataset,
        folder: Path,
        cameras: Sequence[str] | None = None,
        n_step: int = 1,
        spare_bytes: int = SPARE_BYTES,
    ) -> None:
        self.fields = camera_fields(dataset.spec, cameras)
        blocks = plan(dataset, n_step, 2**62)  # one per segment
        if not blocks:
            raise DataError(f"{dataset.path} has no episode in use")
        wanted = [(block.segment, item) for block in blocks for item in self.fields.values()]
        files = build(folder, wanted, spare_bytes)
        self._maps = {
            camera: [_Map(file, item) for file, (_, kind) in zip(files, wanted, strict=True) if kind is item]
            for camera, item in self.fields.items()
        }
        rows = []
        for number, block in enumerate(blocks):
            _, frame, next_frame = block.steps()
            row = block.rows()
            rows.append((np.full(len(frame), number), row[frame], row[next_frame]))
        # (N,) each: which segment a step is in, and where in its array s and s' lie
        self._segment, self._row, self._next_row = map(np.concatenate, zip(*rows, strict=True))

    def __len__(self) -> int:
        return len(self._row)

    def gather(self, step: Array) -> FrameBatch:
        """The frames of these steps, (B,) int64, in this order."""
        segment, row, next_row = self._segment[step], self._row[step], self._next_row[step]
        images, next_images = {}, {}
        for camera, item in self.fields.items():
            images[camera], next_images[camera] = (
                np.empty((len(step), *item.row), np.uint8) for _ in range(2)
            )
            for number in np.unique(segment):
                here = np.flatnonzero(segment == number)
                frames = self._maps[camera][number]
                frames.expect(row[here], next_row[here])
                images[camera][here] = frames.rows[row[here]]
                next_images[camera][here] = frames.rows[next_row[here]]
        return FrameBatch(images, next_images, step)

    def batches(
        self, batch_size: int, rng: np.random.Generator, epochs: int | None = None
    ) -> Iterator[FrameBatch]:
        """As of `FrameStream`, but each batch is drawn from all steps that the pass has left."""
        rest = np.empty(0, np.int64)
        for _ in count() if epochs is None else range(epochs):
            rest = np.concatenate([rest, rng.permutation(len(self))])
            while len(rest) >= batch_size:
                yield self.gather(rest[:batch_size])
                rest = rest[batch_size:]
        if len(rest):
            yield self.gather(rest)


class _Map:
    """A file of frames. rows: (N+E, H, W, 3) uint8, read from the disk where they are touched."""

    def __init__(self, file: Path, item: Field) -> None:
        with file.open("rb") as opened:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        self.rows = np.frombuffer(self._map, np.uint8).reshape(-1, *item.row)
        self._row_bytes = self.rows[0].nbytes

    def expect(self, first: Array, last: Array) -> None:
        """Have the kernel fetch these runs of rows together; touched one by one, each waits for the disk."""
        start = first * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        stop = (last + 1) * self._row_bytes
        for begin, length in zip(start.tolist(), (stop - start).tolist(), strict=True):
            self._map.madvise(mmap.MADV_WILLNEED, begin, length)


def build(folder: Path, wanted: Sequence[tuple[Segment, Field]], spare_bytes: int) -> list[Path]:
    """Make the files that are missing. Raises: RunError: see MappedFrames.  DataError: damaged data."""
    files = [
        folder / segment.path.name / f"{_stem(item)}.{_key(segment, item)}.u1" for segment, item in wanted
    ]
    missing = [
        (file, *pair)
        for file, pair in zip(files, wanted, strict=True)
        if not file.exists() or file.stat().st_size != _size(*pair)
    ]
    if not missing:
        return files
    need = sum(_size(segment, item) for _, segment, item in missing)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = max(shutil.disk_usage(folder).free - spare_bytes, 0)
        if need > room:
            raise RunError(
                f"{folder} has no room for {need / 1e9:.3g} GB of frames: {room / 1e9:.3g} GB may be taken"
            )
        for file, segment, item in missing:
            _build_file(file, segment, item)
    except BlockingIOError as error:
        raise RunError(f"{folder} is being built by another process") from error
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror}") from error
    return files


def _build_file(file: Path, segment: Segment, item: Field) -> None:
    file.parent.mkdir(exist_ok=True)
    held = lock.hold(file.parent)
    try:
        for old in [*file.parent.glob(f"{_stem(item)}.*.u1"), *file.parent.glob(f".{_stem(item)}.*")]:
            old.unlink()  # stale, or of a builder that was killed
        draft = file.with_name(f".{file.name}")
        try:
            _write(draft, segment, item)
            os.replace(draft, file)
        finally:
            with suppress(FileNotFoundError):
                draft.unlink()
    finally:
        os.close(held)


def _write(file: Path, segment: Segment, item: Field) -> None:
    blocks = blocks_of(segment, segment.records, 0, 1, _BUILD_CHUNKS * item.chunk_rows)
    frames = np.empty((max(block.frames for block in blocks), *item.row), np.uint8)
    with file.open("wb") as out:
        for block in blocks:
            read_block(block, item, frames, np.arange(block.frames))
            first = 0
            for piece in block.pieces:
                out.seek(piece.row * frames[0].nbytes)
                out.write(frames[first : first + piece.frames].data)
                first += piece.frames
        out.flush()
        os.fsync(out.fileno())


def _stem(item: Field) -> str:
    return item.name.rpartition("/")[2]


def _key(segment: Segment, item: Field) -> str:
    content = [item.row, [[record.length, record.crc32c[item.name]] for record in segment.records]]
    return sha256(layout.to_json(content)).hexdigest()[:16]


def _size(segment: Segment, item: Field) -> int:
    last = segment.records[-1]
    return item.rows(last.start, last.index, last.length).stop * int(np.prod(item.row))
