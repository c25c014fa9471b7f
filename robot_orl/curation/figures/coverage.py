"""How much of the plane that a data set mostly lies in is visited: two principal components, in cells."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_orl.types import Array

CELLS = 24  # per axis


@dataclass(frozen=True)
class Coverage:
    """rows: how many were looked at.  explained: share of the variance that lies in the plane.

    occupied: share of the cells with a row in them.  cells: counts, (CELLS, CELLS), first axis along the
    first component.
    """

    rows: int
    explained: float
    occupied: float
    cells: Array

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {**vars(self), "cells": self.cells.tolist()}


def cover(rows: Array) -> Coverage | None:
    """rows: (n, D). Each signal counts alike; those that never change and rows that are not finite do not.

    None: fewer than two rows or signals that vary.
    """
    rows = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    if len(rows) < 2:
        return None
    spread = rows.std(axis=0)
    varying = spread > 1e-6 * np.abs(rows).max(axis=0)
    if varying.sum() < 2:
        return None
    scaled = (rows[:, varying] - rows[:, varying].mean(axis=0)) / spread[varying]
    variances, axes = np.linalg.eigh(scaled.T @ scaled)  # ascending
    plane = scaled @ axes[:, [-1, -2]]
    cells = np.histogram2d(plane[:, 0], plane[:, 1], CELLS)[0].astype(np.int64)
    explained = float(variances[-2:].sum() / variances.sum())
    return Coverage(len(rows), explained, float((cells > 0).mean()), cells)
