"""The zarr.json files below a segment: as they were written, as its spec says, of enough rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_orl.curation.checking.findings import Severity
from robot_orl.curation.checking.tolerant_log import MALFORMED
from robot_orl.data.store import layout
from robot_orl.data.store.layout import Field

if TYPE_CHECKING:
    from robot_orl.curation.checking.segment_scan import Scan


def check_nodes(scan: Scan) -> None:
    """Tell every node of the segment whose file is missing, changed, or says what cannot be."""
    assert scan.attributes is not None
    rows: dict[str, int] = {}
    for name in dict.fromkeys(node for item in scan.fields.values() for node in layout.nodes_of(item)):
        file = f"{name}/zarr.json"
        content = scan.read(file)
        if content is None:
            continue
        array = name if name in scan.fields else None
        try:
            document = json.loads(content)
            is_same = layout.node_checksum(document) == scan.attributes["nodes"].get(name)
            found = document["shape"][0] if array else 0
            if array and not is_layout_of(document, scan.fields[name]):
                scan.tell(Severity.DAMAGE, file, "is not the layout that the segment's spec says", array)
                continue
        except (*MALFORMED, RecursionError):
            scan.tell(Severity.DAMAGE, file, "is damaged: not a node's JSON", array)
            continue
        if not is_same or not is_as_written(content, document):
            scan.tell(Severity.DAMAGE, file, "does not match its checksum", array)
        elif array and not isinstance(found, int):
            scan.tell(Severity.DAMAGE, file, f"says {found!r} rows", array)
        elif array:
            rows[name] = found
    _check_rows(scan, rows)


def is_as_written(content: bytes, document: object) -> bool:
    """Blanks count, too: they are what Zarr writes."""
    return content in (json.dumps(document, indent=2).encode(), json.dumps(document).encode())


def is_layout_of(document: dict[str, Any], item: Field) -> bool:
    """Whether an array's metadata, whatever its checksum, is that of this field."""
    chunks = document["chunk_grid"]["configuration"]["chunk_shape"]
    codecs = [codec["name"] for codec in document["codecs"]]
    packer = "zstd" if item.is_image else "blosc"
    return (
        document["shape"][1:] == list(item.row)
        and document["data_type"] == np.dtype(item.dtype).name
        and chunks == [item.chunk_rows, *item.row]
        and codecs == ["bytes", packer, "crc32c"]
    )


def _check_rows(scan: Scan, found: dict[str, int]) -> None:
    """Rows that the arrays declare against those that are committed.

    A writer that was cut off had got through some arrays, in their order, and left the others as they were.
    """
    beyond = {}
    for name, rows in found.items():
        item = scan.fields[name]
        committed = scan.log.steps + scan.log.episodes * item.extra_row
        if scan.is_sealed and scan.attributes is not None:
            committed = scan.attributes["steps"] + scan.attributes["episodes"] * item.extra_row
        if rows < committed or (scan.is_sealed and rows > committed):
            scan.tell(
                Severity.DAMAGE, f"{name}/zarr.json", f"says {rows} rows; {committed} were written", name
            )
        elif rows > committed:
            beyond[name] = rows - committed
    if not beyond or scan.writer is not None:
        return
    if _is_an_append(scan, found, beyond):
        first = next(iter(beyond))
        more = f" (and {len(beyond) - 1} more arrays)" if len(beyond) > 1 else ""
        scan.tell(
            Severity.NOTE, f"{first}/zarr.json", f"{beyond[first]} rows beyond what is committed{more}", first
        )
        return
    for name, rows in beyond.items():
        scan.tell(Severity.DAMAGE, f"{name}/zarr.json", f"says {rows} rows that no writer added", name)


def _is_an_append(scan: Scan, found: dict[str, int], beyond: dict[str, int]) -> bool:
    """Whether the first arrays grew by what some episodes are, and the others not at all."""
    names = [name for name in scan.fields if name in found]
    if list(beyond) != names[: len(beyond)]:
        return False
    seen = {rows for name, rows in beyond.items() if scan.fields[name].extra_row}
    done = {rows for name, rows in beyond.items() if not scan.fields[name].extra_row}
    return len(seen) <= 1 and len(done) <= 1 and (not done or min(seen, default=0) > min(done))
