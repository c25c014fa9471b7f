"""The same model at the same rate as our session, shown through viser and mjviser: the peer of `teleop.py`.

    python viser_loop.py MODEL.mjb --hz 50 --seconds 20 --substeps N

Needs mjviser==0.0.14 and viser==1.1.1 only, not robot_orl. Deadlines are absolute; every tick steps the
model and hands its poses to viser, as mjviser's own viewer does. Says where its page is, waits for a line,
runs, and writes when each tick began [ns]: "ticks", and JSON.
"""

import argparse
import json
import sys
import time

import mujoco
import viser
from mjviser import ViserMujocoScene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="as mujoco.mj_saveModel writes it")
    parser.add_argument("--hz", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--substeps", type=int, required=True, help="of the simulation, per tick")
    args = parser.parse_args()
    model = mujoco.MjModel.from_binary_path(args.model)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    server = viser.ViserServer(host="127.0.0.1", port=0, verbose=False)
    scene = ViserMujocoScene(server, model, num_envs=1)
    scene.update_from_mjdata(data)
    print(f"viser at http://127.0.0.1:{server.get_port()}", file=sys.stderr, flush=True)
    sys.stdin.readline()
    ticks, period_ns = [], round(1e9 / args.hz)
    anchor_ns = time.monotonic_ns()
    for k in range(1, round(args.seconds * args.hz) + 1):
        time.sleep(max(0, anchor_ns + k * period_ns - time.monotonic_ns()) / 1e9)
        ticks.append(time.monotonic_ns() - anchor_ns)
        mujoco.mj_step(model, data, args.substeps)
        scene.update_from_mjdata(data)
    print("ticks", json.dumps(ticks), flush=True)
    server.stop()


if __name__ == "__main__":
    main()
