"""d3rlpy's AWAC or IQL on our data: offline, then online in the same task with its own online trainer.

Its own defaults, but what is a matter of the task and not of the algorithm is as ours: batch size 256,
discount 0.97, standardised observations with the goal's difference appended, and the number of updates.
"""

import d3rlpy
import gymnasium
import numpy as np
import torch
from common import Array, Flat, Measured, arrays, make, parser
from d3rlpy.algos import AWACConfig, IQLConfig

from robot_orl.data.sampling.normalizer import features_of
from robot_orl.types import Spec

ALGORITHMS = {"awac": AWACConfig, "iql": IQLConfig}
SHARED = {"batch_size": 256, "gamma": 0.97}


class Features(gymnasium.ObservationWrapper):
    """A flat task with the goal's difference appended, as our networks see it."""

    def __init__(self, env: Flat) -> None:
        super().__init__(env)
        self.task_spec: Spec = env.spec_of_task
        size = features_of(np.zeros(self.task_spec.observation_size, np.float32), self.task_spec).size
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)

    def observation(self, observation: Array) -> Array:
        return features_of(observation, self.task_spec)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--algorithm", choices=ALGORITHMS, required=True)
    args = arguments.parse_args()
    torch.set_num_threads(1)
    d3rlpy.seed(args.seed)
    measured = Measured(args.task, args.eval_episodes, args.episodes)
    found = arrays(args.data)
    dataset = d3rlpy.dataset.MDPDataset(
        features_of(found["obs"], measured.spec),
        found["action"],
        found["reward"],
        terminals=found["terminal"],
        timeouts=found["timeout"],
    )
    scaler = d3rlpy.preprocessing.StandardObservationScaler()
    agent = ALGORITHMS[args.algorithm](observation_scaler=scaler, **SHARED).create(device="cpu:0")

    def policy(obs: Array) -> Array:
        action = agent.predict(features_of(obs, measured.spec)[None])[0]
        return np.clip(action, -1, 1).astype(np.float32)

    quiet = {"logger_adapter": d3rlpy.logging.NoopAdapterFactory(), "show_progress": False}
    every = min(args.eval_every, args.updates)
    for epoch, _ in agent.fitter(dataset, args.updates, every, save_interval=10**9, **quiet):
        if epoch * every < args.updates:
            measured.point("offline", epoch * every, policy)
    measured.final("offline", policy, args.updates // every * every, 0)
    if args.env_steps:
        finetune(agent, dataset, policy, measured, args)
    measured.write(args.out, ("d3rlpy",))


def finetune(agent, dataset, policy, measured: Measured, args) -> None:  # type: ignore[no-untyped-def]
    """With Gaussian noise of our size; new transitions join the demonstrations in one uniform replay."""
    env = Features(Flat(make(args.task)))
    env.reset(seed=args.seed * 1_000_000 + 500_000)  # where our own finetuning begins
    buffer = d3rlpy.dataset.create_fifo_replay_buffer(
        limit=len(dataset.episodes) * 1000 + args.env_steps, episodes=dataset.episodes, env=env
    )

    def look(_: object, epoch: int, step: int) -> None:
        if step % args.online_eval_every == 0 and step < args.env_steps:
            measured.point("online", step, policy)

    agent.fit_online(
        env,
        buffer,
        explorer=d3rlpy.algos.NormalNoise(std=0.15),
        n_steps=args.env_steps,
        n_steps_per_epoch=args.env_steps,
        n_updates=args.updates_per_step,
        update_start_step=0,
        callback=look,
        save_interval=10**9,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
        show_progress=False,
    )
    measured.final("online", policy, args.env_steps * args.updates_per_step, args.env_steps)


if __name__ == "__main__":
    main()
