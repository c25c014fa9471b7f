"""Camera frames for learners, from datasets that are larger than memory.

Blocks of whole chunks are read in random order, by threads ahead of the learner, into a shuffle buffer, from
which every batch is drawn at random. Every step comes once per pass over the data.

How far that is from drawing uniformly: a batch comes from the episodes that are in the buffer, not from all.
Of 1,000 episodes of 50 steps, 256 uniform draws meet 226 episodes; a buffer of 1,024 frames lets them meet
27, one of 4,096 68, and the default of 16,384 (450 MB at 96x96) 188, as `benchmarks/dataset.py` prints.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import numpy as np

from robot_orl.data.sampling.blocks import Block, plan, read_block
from robot_orl.data.sampling.shuffle import ShuffleBuffer
from robot_orl.data.store.layout import IMAGES, Field
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError, unknown
from robot_orl.types import Array, Spec


@dataclass(frozen=True)
class FrameBatch:
    """images, next_images: per camera (B, H, W, 3) uint8, s and s'.

    step: (B,) int64 numbers of the steps over `dataset.episodes`: `Replay.gather(step, ...)` of a replay of
    the same episodes gives observations, actions, rewards and discounts in the same order.
    """

    images: Mapping[str, Array]
    next_images: Mapping[str, Array]
    step: Array


class FrameStream:
    """Frames straight from the dataset, checksums verified, wherever it lies.

    cameras: None: all.  n_step: how far ahead s' lies [steps], fewer at an episode's end.
    buffer_frames: size of the shuffle buffer; each camera's takes that many frames of memory.
    block_chunks: chunks that are read together; fewer mix better, more are faster.
    readers: threads that read and decode; with two, one decodes while the other waits for the disk.
    Raises: UsageError: no such camera.  DataError: there are no frames.
    """

    def __init__(
        self,
        dataset: Dataset,
        cameras: Sequence[str] | None = None,
        n_step: int = 1,
        buffer_frames: int = 16_384,
        block_chunks: int = 8,
        readers: int = 2,
    ) -> None:
        self.fields = camera_fields(dataset.spec, cameras)
        rows = block_chunks * min(item.chunk_rows for item in self.fields.values())
        self._blocks = plan(dataset, n_step, rows)
        if not self._blocks:
            raise DataError(f"{dataset.path} has no episode in use")
        self._buffer_frames = buffer_frames
        self._readers = readers

    def batches(
        self, batch_size: int, rng: np.random.Generator, epochs: int | None = None
    ) -> Iterator[FrameBatch]:
        """Batches without end, or of so many passes over the data, the last then smaller.

        The same rng gives the same batches, however fast the disk is. Raises: DataError: names the file.
        """
        # the largest block fits whenever fewer steps wait than a batch takes
        slots = max(self._buffer_frames, max(block.frames for block in self._blocks) + 2 * batch_size)
        buffer = ShuffleBuffer(slots)
        pool = {camera: np.empty((slots, *item.row), np.uint8) for camera, item in self.fields.items()}
        reading: deque[tuple[Future[None], Block, Array]] = deque()
        order = self._order(rng, epochs)
        coming = next(order, None)
        executor = ThreadPoolExecutor(self._readers, thread_name_prefix="frames")

        def put_oldest() -> None:
            done, block, slot = reading.popleft()
            done.result()
            step, frame, next_frame = block.steps()
            buffer.put(step, slot[frame], slot[next_frame])

        try:
            while True:
                while coming is not None and buffer.room >= coming.frames:
                    slot = buffer.reserve(coming.frames)
                    reading.append((executor.submit(self._read, coming, slot, pool), coming, slot))
                    coming = next(order, None)
                    if len(reading) > 2 * self._readers:
                        put_oldest()
                while reading and (buffer.steps < batch_size or coming is None):
                    put_oldest()
                if not buffer.steps:
                    return
                step, slot, next_slot = buffer.draw(min(batch_size, buffer.steps), rng)
                yield FrameBatch(_taken(pool, slot), _taken(pool, next_slot), step)
        finally:
            executor.shutdown(cancel_futures=True)

    def _order(self, rng: np.random.Generator, epochs: int | None) -> Iterator[Block]:
        for _ in count() if epochs is None else range(epochs):
            yield from (self._blocks[i] for i in rng.permutation(len(self._blocks)))

    def _read(self, block: Block, slot: Array, pool: Mapping[str, Array]) -> None:
        for camera, item in self.fields.items():
            read_block(block, item, pool[camera], slot)


def camera_fields(spec: Spec, cameras: Sequence[str] | None) -> dict[str, Field]:
    """The arrays of these cameras. Raises: UsageError: no such camera.  DataError: there is none at all."""
    if not spec.cameras:
        raise DataError(f"{spec.task} was recorded without cameras")
    for name in cameras or ():
        if name not in spec.cameras:
            raise unknown("camera", name, spec.cameras)
    sizes = {name: spec.cameras[name] for name in cameras or spec.cameras}
    return {
        name: Field(f"{IMAGES}{name}", (size.height, size.width, 3), "uint8", True)
        for name, size in sizes.items()
    }


def _taken(pool: Mapping[str, Array], slot: Array) -> dict[str, Array]:
    return {camera: frames.take(slot, axis=0) for camera, frames in pool.items()}
