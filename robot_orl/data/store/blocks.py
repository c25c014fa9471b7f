"""Reads episodes of a segment many at a time: fast as whole chunks are, in no more memory than a block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from robot_orl.data.store import layout
from robot_orl.data.store.layout import Field
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import BAD_CHUNK, Segment, damage, verified
from robot_orl.types import Array, Episode

BLOCK_BYTES = 2**26  # that are read at once; a longer episode is a block of its own


def read_episode(segment: Segment, record: EpisodeRecord, items: Sequence[Field], verify: bool) -> Episode:
    """One episode. Raises: DataError: names the file that is damaged."""
    columns = {}
    for item in items:
        try:
            rows = segment.read(item, item.rows(record.start, record.index, record.length))
        except BAD_CHUNK as error:
            raise damage(segment, item, record) from error
        columns[item.name] = verified(rows, segment, item, record) if verify else rows
    return _episode(columns, record)


def read_episodes(
    segment: Segment, records: Sequence[EpisodeRecord], items: Sequence[Field], verify: bool
) -> Iterator[Episode]:
    """Episodes of one segment, in its order. Raises: DataError: names the file and the episode."""
    for block in _blocks(records, items):
        first, last = block[0], block[-1]
        spans = {
            item.name: slice(
                item.rows(first.start, first.index, first.length).start,
                item.rows(last.start, last.index, last.length).stop,
            )
            for item in items
        }
        try:
            columns = {item.name: segment.read(item, spans[item.name]) for item in items}
        except BAD_CHUNK:  # singly: names the first episode it spoils, or spoils only others
            yield from (read_episode(segment, record, items, verify) for record in block)
            continue
        for record in block:
            parts = {}
            for item in items:
                rows, offset = item.rows(record.start, record.index, record.length), spans[item.name].start
                found = columns[item.name][rows.start - offset : rows.stop - offset]
                parts[item.name] = verified(found, segment, item, record) if verify else found
            yield _episode(parts, record)


def _blocks(records: Sequence[EpisodeRecord], items: Sequence[Field]) -> Iterator[list[EpisodeRecord]]:
    """Records that are read together."""
    row_bytes = sum(np.dtype(item.dtype).itemsize * prod(item.row) for item in items)
    block: list[EpisodeRecord] = []
    for record in records:
        if block and (record.start + record.length + 1 - block[0].start) * row_bytes > BLOCK_BYTES:
            yield block
            block = []
        block.append(record)
    if block:
        yield block


def _episode(columns: Mapping[str, Array], record: EpisodeRecord) -> Episode:
    """With the rewards that hold now, where they were relabelled."""
    episode = layout.from_columns(columns, record.meta)
    return episode if record.reward is None else replace(episode, reward=record.reward)
