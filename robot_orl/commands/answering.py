"""What `robot-orl deploy` makes of shadows, swaps and alarms: which bundle acts, and what is told of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robot_orl.commands.tables import out
from robot_orl.config import DeployConfig
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.promotion.fitting import require_alike
from robot_orl.deploy.promotion.log import AnswerLog
from robot_orl.deploy.promotion.rollback import Rollback
from robot_orl.deploy.promotion.swap import Swappable
from robot_orl.deploy.promotion.watch import Watch
from robot_orl.errors import RunError, UsageError


def bundles(cfg: DeployConfig) -> tuple[Bundle, Bundle | None]:
    """The one that acts, and the one in its shadow. Raises: UsageError: they are not of the same task."""
    bundle = Bundle.load(cfg.bundle)
    if cfg.shadow is None:
        return bundle, None
    acting = Bundle.load(cfg.shadow)
    require_alike(bundle, acting)
    out.print(f"{acting.path} acts; {bundle.path} is its shadow, which is asked and never acts")
    return acting, bundle


def watch_over(cfg: DeployConfig, asking: Swappable, figures: Path, action_size: int) -> Watch:
    """figures: the file of the figures, beside which the answers go, where they are kept by themselves.

    Raises: UsageError: they cannot be written there.
    """
    file = None if cfg.answers is None else Path(cfg.answers)
    if file is None and (cfg.shadow is not None or cfg.swap_file is not None):
        is_special = figures.exists() and not figures.is_file()  # such as /dev/null
        place = Path(cfg.bundle) / "deploy.json" if is_special else figures
        file = place.with_suffix(".answers.npz")
    if file is not None and not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise UsageError(f"cannot write {file}; choose another answers=")  # before anything moves
    rollback = Rollback(cfg.rollback) if cfg.rollback.enabled else None
    return Watch(asking, rollback, None if file is None else AnswerLog(file, action_size))


def figures_of(
    watch: Watch, told: list[Mapping[str, Any]], bundle: Bundle, shadow: Bundle | None
) -> tuple[dict[str, Any], str | None]:
    """For deploy.json, once the robot is safe, and why the answers could not be written, or None.

    told: what became of orders to swap.
    """
    failure = None
    if watch.log is not None:
        try:
            watch.log.write()
        except RunError as error:
            failure = str(error)
    figures = watch.figures(told, _named(bundle)) | {
        "alarm": None if bundle.calibration is None else bundle.calibration.thresholds(),
        "shadow": None if shadow is None else _named(shadow),
        "log": None if watch.log is None or failure else str(watch.log.file),
    }
    return figures, failure


def _named(bundle: Bundle) -> dict[str, str]:
    return {"bundle": str(bundle.path), "policy_hash": bundle.policy_hash}
