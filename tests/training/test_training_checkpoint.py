"""Checkpoints: whole or refused in one line, and written so that a kill leaves the old one."""

import hashlib
import io
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_toys import goal_spec, identity
from training_toys import assert_bitwise_equal, awac_config

from robot_orl.agents.awac import AWACConfig
from robot_orl.agents.bc import BCConfig
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.training.runs.checkpoint import MAGIC, checkpoint_hash, load_checkpoint, save_checkpoint
from robot_orl.training.state import TrainingState, new_state, unpack

STATE = {
    "format": 1,
    "weights": torch.arange(6.0).reshape(2, 3),
    "text": "ü",
    "nested": {"a": [1, 2.5, None]},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoints" / "offline.ckpt"
    save_checkpoint(file, STATE)
    return file


def one_line(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_saved_is_loaded(path: Path) -> None:
    assert_bitwise_equal(load_checkpoint(path), STATE)
    assert [file.name for file in path.parent.iterdir()] == ["offline.ckpt"]


def test_every_damaged_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for position in {0, 7, 8, 39, 40, len(whole) // 2, len(whole) - 1}:
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        expected = "is not a robot_orl checkpoint" if position < 8 else "is damaged"
        assert expected in one_line(path)


def test_a_truncated_file_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 5, 8, 20, 40, len(whole) - 1):
        path.write_bytes(whole[:length])
        expected = "is not a robot_orl checkpoint" if length < 8 else "is damaged"
        assert expected in one_line(path)


def test_foreign_files_are_refused(path: Path) -> None:
    torch.save(STATE, path)
    assert "is not a robot_orl checkpoint" in one_line(path)
    path.unlink()
    assert "No such file" in one_line(path)
    path.mkdir()
    assert "Is a directory" in one_line(path)


def test_nobodys_code_is_run(path: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "ran"),)

    stream = io.BytesIO()
    torch.save({"weights": Evil()}, stream)
    payload = stream.getvalue()
    path.write_bytes(MAGIC + hashlib.sha256(payload).digest() + payload)
    one_line(path)
    assert not (tmp_path / "ran").exists()


def test_a_leftover_of_a_killed_save_does_not_matter(path: Path) -> None:
    path.with_suffix(".partial").write_bytes(b"half a checkpoint")
    assert_bitwise_equal(load_checkpoint(path), STATE)
    save_checkpoint(path, {"format": 2})
    assert load_checkpoint(path) == {"format": 2}
    assert not path.with_suffix(".partial").exists()


def test_a_failed_save_keeps_the_old_checkpoint(path: Path) -> None:
    path.with_suffix(".partial").mkdir()  # cannot be opened for writing, even by root
    with pytest.raises(RunError, match=rf"^cannot write checkpoint {path}: Is a directory$"):
        save_checkpoint(path, {"format": 2})
    assert_bitwise_equal(load_checkpoint(path), STATE)


def test_the_hash_names_the_content(path: Path) -> None:
    assert checkpoint_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:12]


# training states


def state(config: Any = None) -> TrainingState:
    config = config or awac_config()
    return new_state(config, goal_spec(), identity(goal_spec(), extra=2), seed=3)


def test_a_state_survives_packing(path: Path) -> None:
    original = state()
    original.rng.random(5)
    original.progress.updates, original.progress.wall_s = 7, 1.5
    save_checkpoint(path, original.pack("offline", "abc"))
    restored = unpack(load_checkpoint(path))
    assert (restored.agent_config, restored.spec) == (original.agent_config, original.spec)
    assert restored.progress == original.progress
    assert restored.rng.random() == original.rng.random()
    assert_bitwise_equal(restored.agent.state_dict(), original.agent.state_dict())
    assert_bitwise_equal(unpack(original.pack("bc", "")).agent_config, original.agent_config)


def test_an_online_checkpoint_is_restored_as_an_online_agent() -> None:
    packed = state().pack("online", "abc")
    assert unpack(packed).agent.sampling.n_step == 3
    assert unpack(packed | {"stage": "offline"}).agent.sampling.n_step == 2


def test_settings_changed_for_finetuning_take_effect() -> None:
    packed = state().pack("offline", "abc")
    changed = awac_config(
        actor_learning_rate=1e-5, critic_learning_rate=2e-5, actor_weight_decay=0.5, discount=0.5
    )
    agent: Any = unpack(packed, changed).agent
    assert agent.sampling.discount == 0.5
    assert agent.actor_optimizer.learning_rate == 1e-5
    assert agent.actor_optimizer.weight_decay == 0.5
    assert agent.critic_optimizer.learning_rate == 2e-5


def test_states_that_do_not_fit_are_refused_in_one_line() -> None:
    packed = state().pack("offline", "abc")
    bc = state(BCConfig(hidden=[8])).pack("bc", "abc")
    for broken, config, message in (
        (packed | {"format": 2}, None, "checkpoint format 2; this version reads 1"),
        ({}, None, "checkpoint format None"),
        (packed, AWACConfig(hidden=[9]), "does not fit agent 'awac'"),
        (packed | {"agent": bc["agent"]}, None, "does not fit agent 'awac'"),
        (
            packed | {"agent_config": asdict(awac_config()) | {"newer": 1}},
            None,
            "Key 'newer' not in 'AWACConfig'",
        ),
        (packed | {"agent_config": asdict(awac_config()) | {"temperature": -1}}, None, "temperature=-1"),
        (packed | {"agent_config": {"name": "awak"}}, None, "no agent 'awak'; did you mean 'awac'"),
    ):
        with pytest.raises(UsageError) as caught:
            unpack(broken, config)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
