"""Run an exported policy in the real-time loop; loads no PyTorch.

make demo && python examples/deploy.py demo/fetch_pick_and_place/bundle
"""

import sys

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.loop import run
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.tasks import TaskConfig

bundle = Bundle.load(sys.argv[1] if len(sys.argv) > 1 else "demo/fetch_pick_and_place/bundle")
robot = SimRobot(SimConfig(), TaskConfig(bundle.task))
report = run(robot, bundle, duration_s=4, realtime_priority=20).to_dict()

error = report["period_error_us"]
print(f"{report['ticks']} ticks at {report['control_hz']:g} Hz, {report['missed_slots']} missed")
print(f"period error p50 {error['p50']:.0f} us, p99 {error['p99']:.0f} us, max {error['max']:.0f} us")
print(f"success {report['success']['rate']}, stopped by {report['stopped_by']}")
