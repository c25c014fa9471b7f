"""From configuration to agent, from agent to checkpoint, and back."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robot_orl.agents.base import Agent
from robot_orl.data.sampling.normalizer import Normalizer
from robot_orl.errors import DataError
from robot_orl.registry import factory, schema_of
from robot_orl.types import Spec

FORMAT = 1


@dataclass
class Progress:
    """How far a stage is: gradient updates, environment steps and episodes, seconds.

    target: what the stage was asked for last, in updates, or in environment steps where it is online;
    less where it was ended by its success.
    reached: the lower 95% bound of the success by which it was ended just here; None: it was not.
    """

    updates: int = 0
    env_steps: int = 0
    episodes: int = 0
    wall_s: float = 0.0
    target: int = 0
    reached: float | None = None

    def done(self, stage: str) -> int:
        """How much of `target` is done."""
        return self.env_steps if stage == "online" else self.updates

    def is_finished(self, stage: str) -> bool:
        """Trained as long as it was asked to be (but perhaps not measured yet)."""
        return self.done(stage) >= self.target


@dataclass
class TrainingState:
    """Everything that a stage needs to go on as if it had never stopped (replay comes from the data)."""

    agent: Agent
    agent_config: Any
    spec: Spec
    normalizer: Normalizer
    rng: np.random.Generator
    progress: Progress

    def pack(self, stage: str, fingerprint: str) -> dict[str, Any]:
        """fingerprint: of the data that the stage learns from."""
        return {
            "format": FORMAT,
            "stage": stage,
            "fingerprint": fingerprint,
            "agent_config": asdict(self.agent_config),
            "spec": self.spec.to_dict(),
            "mean": torch.from_numpy(self.normalizer.mean),
            "std": torch.from_numpy(self.normalizer.std),
            "agent": self.agent.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "progress": asdict(self.progress),
        }


def new_state(agent_config: Any, spec: Spec, normalizer: Normalizer, seed: int) -> TrainingState:
    """A fresh agent. seed: of its weights and of sampling."""
    agent = factory("agent", agent_config.name)(agent_config, spec, normalizer, seed)
    return TrainingState(agent, agent_config, spec, normalizer, np.random.default_rng(seed), Progress())


def unpack(state: Mapping[str, Any], agent_config: Any | None = None) -> TrainingState:
    """agent_config: replaces the saved one, e.g. with other settings for finetuning.

    Raises: DataError: another format, or weights that do not fit their configuration.
    """
    if state.get("format") != FORMAT:
        raise DataError(f"checkpoint format {state.get('format')}; this version reads {FORMAT}")
    config = agent_config if agent_config is not None else config_object(state["agent_config"])
    normalizer = Normalizer(state["mean"].numpy(), state["std"].numpy())
    restored = new_state(config, Spec.from_dict(state["spec"]), normalizer, seed=0)
    if state["stage"] == "online":
        restored.agent.start_online()
    try:
        restored.agent.load_state_dict(state["agent"])
    except (RuntimeError, KeyError, ValueError) as error:
        first = " ".join(str(error).split())[:200]  # the first line alone names no weight
        raise DataError(f"the checkpoint does not fit agent '{config.name}': {first}") from error
    restored.rng.bit_generator.state = json.loads(state["rng"])
    restored.progress = Progress(**state["progress"])
    return restored


def config_object(values: Mapping[str, Any]) -> Any:
    """A saved agent configuration as its dataclass, checked. Raises: DataError: of another version."""
    schema = schema_of("agent", values["name"])
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(schema), dict(values)))
    except OmegaConfBaseException as error:
        first = str(error.__cause__ or error).splitlines()[0]
        raise DataError(f"the saved settings of agent '{values['name']}' do not fit: {first}") from error
