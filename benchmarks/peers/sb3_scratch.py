"""From scratch, without data: TQC or SAC of Stable-Baselines3, with hindsight replay in tasks with a goal.

The line of who has no demonstrations, at the same number of environment steps. Settings of RL Baselines3
Zoo for the Fetch tasks (learning rate 1e-3, discount 0.95, tau 0.05, 4 hindsight goals), but batches of 256
and three layers of 256, so that a run takes minutes.
"""

from typing import Any

import gymnasium
import numpy as np
import torch
from common import Array, Flat, Measured, make, parser
from sb3_contrib import TQC
from stable_baselines3 import SAC, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback

from robot_orl.tasks import spec_of, task_env

ALGORITHMS = {"tqc": TQC, "sac": SAC}
FETCH = {"learning_rate": 1e-3, "gamma": 0.95, "tau": 0.05, "batch_size": 256, "learning_starts": 1000}
NETWORK = {"net_arch": [256, 256, 256]}


class WithGoal(gymnasium.Wrapper):
    """Offers the reward of any goal under the name by which hindsight replay asks for it."""

    def compute_reward(self, achieved_goal: Array, desired_goal: Array, info: Any) -> Array:
        return task_env(self.env).reward_for(achieved_goal, desired_goal)


class Look(BaseCallback):
    """A point of the learning curve every so many environment steps."""

    def __init__(self, measured: Measured, every: int, total: int) -> None:
        super().__init__()
        self.measured, self.every, self.total = measured, every, total

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0 and self.num_timesteps < self.total:
            self.measured.point("online", self.num_timesteps, policy_of(self.model, self.measured))
        return True


def policy_of(model: Any, measured: Measured) -> Any:
    spec = measured.spec

    def policy(flat: Array) -> Array:
        obs: Any = flat
        if spec.desired_goal:
            obs = {key: flat[spec.slice_of(key)] for key in spec.observation}
        return np.asarray(model.predict(obs, deterministic=True)[0], np.float32)

    return policy


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--algorithm", choices=ALGORITHMS, default="tqc")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    measured = Measured(args.task, args.eval_episodes, args.episodes)
    env = make(args.task)
    options: dict[str, Any] = {"policy": "MlpPolicy"}
    if spec_of(env).desired_goal:
        env = WithGoal(env)
        replay = {"n_sampled_goal": 4, "goal_selection_strategy": "future"}
        options = {
            "policy": "MultiInputPolicy",
            "replay_buffer_class": HerReplayBuffer,
            "replay_buffer_kwargs": replay,
        }
    else:
        env = Flat(env)
    updates = args.updates_per_step
    model = ALGORITHMS[args.algorithm](
        env=env,
        seed=args.seed,
        gradient_steps=updates,
        policy_kwargs=NETWORK,
        device="cpu",
        **options,
        **FETCH,
    )
    model.learn(args.env_steps, callback=Look(measured, args.online_eval_every, args.env_steps))
    done = max(0, args.env_steps - FETCH["learning_starts"]) * updates
    measured.final("online", policy_of(model, measured), int(done), args.env_steps)
    measured.write(args.out, ("stable-baselines3", "sb3-contrib"))


if __name__ == "__main__":
    main()
