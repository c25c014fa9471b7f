"""A deployment in a process of its own: deploy_child.py BUNDLE DATASET REPORT DURATION_S.

Writes the progress to stdout, the report to REPORT, and exits as a command does: 130 after Ctrl-C.
"""

import json
import sys
from pathlib import Path

import numpy as np

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.errors import RunError
from robot_orl.tasks import TaskConfig

bundle = Bundle.load(sys.argv[1])
robot = SimRobot(SimConfig(), TaskConfig(bundle.task))
root = Path(sys.argv[2])
journals = Journals(root, robot.spec, "deploy")
with BackgroundWriter(SegmentWriter(root, robot.spec, source="deploy"), journals) as writer:
    report = run(
        robot,
        bundle,
        duration_s=float(sys.argv[4]),
        writer=writer,
        realtime_priority=10,
        on_tick=lambda done, total: print(done, flush=True),
    )
document = report.to_dict()
try:
    robot.send(np.zeros(4, np.float32))
    document["accepts_commands_afterwards"] = True
except RunError:
    document["accepts_commands_afterwards"] = False
Path(sys.argv[3]).write_text(json.dumps(document))
sys.exit({"duration": 0, "fault": 1, "interrupt": 130}[report.stopped_by])
