"""Which frames are read together, and reading them: every chunk once per block, checksums verified.

A block is a run of episodes whose rows lie close together, about `block_rows` of them:

    chunks    |   64 frames   |   64 frames   |   64 frames   | ...
    pieces      [ episode 4 ][ episode 5 ]  (6: not in use)  [ episode 7 ]

so s and s' are always in the same block, and only the chunks at its borders are decoded for two blocks. An
episode that is longer than a block is cut into pieces, which repeat the frames that both need.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numcodecs.zstd import decompress

from robot_orl.data.store.layout import Field
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import Segment, damage
from robot_orl.types import Array

_CRC_BYTES = 4  # behind every chunk, little-endian, as Zarr's crc32c codec puts it


@dataclass(frozen=True)
class Piece:
    """`steps` steps of an episode, from step `step` of the dataset on, and the `frames` frames they need.

    row: where the first of these frames lies in the segment's array.
    """

    record: EpisodeRecord
    row: int
    frames: int
    step: int
    steps: int

    @property
    def is_whole(self) -> bool:
        return self.frames == self.record.length + 1


@dataclass(frozen=True)
class Block:
    """Pieces of one segment in the order of their rows, to be read together."""

    segment: Segment
    pieces: tuple[Piece, ...]
    n_step: int

    @property
    def frames(self) -> int:
        return sum(piece.frames for piece in self.pieces)

    def steps(self) -> tuple[Array, Array, Array]:
        """Per step its number in the dataset, and which frames of the block are its s and its n-step s'."""
        frames = np.array([piece.frames for piece in self.pieces])
        steps = np.array([piece.steps for piece in self.pieces])
        first_frame, first_step = np.cumsum(frames) - frames, np.cumsum(steps) - steps
        inside = np.arange(steps.sum()) - np.repeat(first_step, steps)
        step = np.repeat(np.array([piece.step for piece in self.pieces]), steps) + inside
        frame = np.repeat(first_frame, steps) + inside
        last = np.repeat(first_frame + frames - 1, steps)
        return step, frame, np.minimum(frame + self.n_step, last)

    def rows(self) -> Array:
        """(F,) rows of the block's frames in the segment's array."""
        return np.concatenate([np.arange(piece.row, piece.row + piece.frames) for piece in self.pieces])


def plan(dataset: Dataset, n_step: int, block_rows: int) -> list[Block]:
    """The episodes in use as blocks; steps are counted over `dataset.episodes`, as a Replay of them does."""
    by_segment: dict[str, list[EpisodeRecord]] = {}
    for record in dataset.episodes:
        by_segment.setdefault(record.segment, []).append(record)
    blocks, step = [], 0
    for segment in dataset.segments:
        records = by_segment.get(segment.path.name, [])
        blocks += blocks_of(segment, records, step, n_step, block_rows)
        step += sum(record.length for record in records)
    return blocks


def blocks_of(
    segment: Segment, records: Sequence[EpisodeRecord], step: int, n_step: int, block_rows: int
) -> list[Block]:
    """Episodes of one segment as blocks. step: number of the first of their steps."""
    blocks: list[Block] = []
    group: list[Piece] = []
    for record in records:
        for piece in _cut(record, step, n_step, block_rows):
            if group and piece.row + piece.frames - group[0].row > block_rows:
                blocks.append(Block(segment, tuple(group), n_step))
                group = []
            group.append(piece)
        step += record.length
    return [*blocks, Block(segment, tuple(group), n_step)] if group else blocks


def _cut(record: EpisodeRecord, step: int, n_step: int, block_rows: int) -> Iterator[Piece]:
    """An episode as one piece or, where it is longer than a block, as several."""
    first, most = record.start + record.index, max(block_rows - n_step, n_step)
    if record.length + 1 <= block_rows:
        most = record.length
    for done in range(0, record.length, most):
        steps = min(most, record.length - done)
        frames = min(steps + n_step, record.length - done + 1)
        yield Piece(record, first + done, frames, step + done, steps)


def read_block(block: Block, item: Field, out: Array, slot: Array) -> None:
    """Put the F frames of the block's pieces, one after the other, into `out[slot]`.

    out: (N, H, W, 3) uint8.  slot: (F,) int64. Chunks are fetched and decoded here rather than by Zarr,
    which takes longer to schedule a chunk than to decode it.
    Raises: DataError: names the file that is missing or damaged, and the episode.
    """
    rows, size = block.rows(), item.chunk_rows
    chunk = np.empty((size, *item.row), np.uint8)
    for number in np.unique(rows // size):
        low, high = np.searchsorted(rows, [number * size, (number + 1) * size])
        inside = rows[low:high] - number * size
        try:
            _decode(block.segment, item, int(number), chunk)
        except (ValueError, RuntimeError, OSError) as error:
            raise damage(block.segment, item, _owner(block, int(rows[low]))) from error
        is_run = inside[-1] - inside[0] == high - low - 1
        out[slot[low:high]] = chunk[inside[0] : inside[-1] + 1] if is_run else chunk[inside]
    _verify(block, item, out, slot)


def _decode(segment: Segment, item: Field, number: int, out: Array) -> None:
    """One chunk of whole rows into `out`, (chunk rows, H, W, 3)."""
    row = number * item.chunk_rows
    ((_, file),) = segment.chunks(item, slice(row, row + 1))
    content = np.frombuffer(segment.place.read(file), np.uint8)
    packed, checksum = content[:-_CRC_BYTES], content[-_CRC_BYTES:]
    if google_crc32c.value(packed) != int.from_bytes(checksum.tobytes(), "little"):
        raise ValueError("checksum")
    decompress(packed, out)


def _verify(block: Block, item: Field, out: Array, slot: Array) -> None:
    """Whole episodes are those that were committed; of a cut one, its chunks' checksums tell."""
    first = 0
    for piece in block.pieces:
        if piece.is_whole:
            crc = 0
            for row in slot[first : first + piece.frames]:
                crc = google_crc32c.extend(crc, out[row])
            if crc != piece.record.crc32c[item.name]:
                raise damage(block.segment, item, piece.record)
        first += piece.frames


def _owner(block: Block, row: int) -> EpisodeRecord:
    """Whose frame it is."""
    return next(piece.record for piece in block.pieces if piece.row <= row < piece.row + piece.frames)
