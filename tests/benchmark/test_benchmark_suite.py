"""What a suite says, and which cells and commands follow from it."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_toys import SUITE, write

import envs  # noqa: F401  registers the tasks
from robot_orl.agents.awac_config import AWACConfig, AWACOnline
from robot_orl.benchmark.cell import Cell, Places, only
from robot_orl.benchmark.own import without_defaults
from robot_orl.benchmark.plan import plan
from robot_orl.benchmark.suite import load_suite
from robot_orl.compose import choices
from robot_orl.errors import UsageError


def cell(folder: Path, agent: str, task: str = "reach", seed: int = 0, text: str = SUITE) -> Cell:
    suite = load_suite(write(folder, text))
    tasks, agents = {t.name: t for t in suite.tasks}, {a.name: a for a in suite.agents}
    return Cell(suite, tasks[task], agents[agent], seed)


def test_every_suite_that_is_shipped_can_be_read() -> None:
    names = choices("suite")
    assert {"smoke", "fetch", "mixed-quality", "door"} <= set(names)
    for name in names:
        suite = load_suite(name)
        assert suite.name == name
        assert all(task.files <= suite.files.keys() for task in suite.tasks)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("episodes: 4", "episdes: 4", "no field 'episdes'; did you mean 'episodes'?"),
        ("finetune: {env_steps: 100}", "finetun: {}", "no field of tasks.reach 'finetun'; did you mean"),
        (
            "{door}",
            "{dor}",
            "no placeholder of tasks.door.data 'dor'; did you mean 'door'? valid: data, seed, door",
        ),
        ("task=adroit_door out={data}", "task=adroit_door", "no command of tasks.door.data makes {data}"),
        ("seeds: [0, 1]", "seeds: [0, 1000]", "seed 1000 is not a whole number of 0 .. 999"),
        ("episodes: 4", "episodes: many", "episodes=many is not a whole number of 1 .. 9000"),
        ("  bc: {", "  b/c: {", "'b/c' is not made of letters, digits, - and _"),
        ("script: sb3_scratch.py, ", "", "agents.tqc.peer names no script"),
        ("title: a try", "title: [", "cannot be read"),
    ],
)
def test_a_suite_with_a_slip_is_refused_in_one_line(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in SUITE
    with pytest.raises(UsageError) as refused:
        load_suite(write(tmp_path, SUITE.replace(before, after)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_suite_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="no suite 'fetsh'; did you mean 'fetch'"):
        load_suite("fetsh")


def test_settings_of_an_agent_win_over_those_of_a_task_and_these_over_the_suite(tmp_path: Path) -> None:
    one = cell(tmp_path, "awac")
    assert one.pretrain == {"steps": 40, "baseline_steps": 0, "eval_episodes": 1, "eval_every": 10}
    assert one.finetune == {"eval_every": 50, "env_steps": 100, "updates_per_step": 3}
    assert cell(tmp_path, "bc").finetune is None


def test_a_cell_is_the_commands_that_a_user_would_type(tmp_path: Path) -> None:
    made = plan(cell(tmp_path, "bc", seed=1), Places(Path("w"), {}))
    (collect,) = made.data.commands
    assert collect.argv[1:5] == ("-m", "robot_orl.cli", "collect", "task=fetch_reach")
    assert collect.argv[6:] == ("seed=1", f"out={made.data.folder / 'data'}")
    pretrain, evaluate = made.job.commands
    run = made.job.folder / "run"
    assert pretrain.argv[3:7] == ("pretrain", f"data={made.data.folder / 'data'}", f"out={run}", "seed=1")
    assert {"agent=bc", "where=success", "steps=30"} <= set(pretrain.argv)
    assert evaluate.argv[3:] == (str(run), "4", str(made.job.folder / "held_out.json"), "bc")
    assert made.job.needs == (made.data.name,)


def test_a_cell_is_another_one_where_its_configuration_is_and_only_there(tmp_path: Path) -> None:
    here = Places(Path("w"), {})
    first = plan(cell(tmp_path, "awac"), here)
    assert plan(cell(tmp_path, "awac"), Places(Path("elsewhere"), {})).hash == first.hash
    changes = {"updates_per_step: 3": "updates_per_step: 2", "episodes=3": "episodes=5"}
    changes |= {"\nepisodes: 4": "\nepisodes: 5", "steps: 40": "steps: 41"}
    hashes = {plan(cell(tmp_path, "awac", text=SUITE.replace(*c)), here).hash for c in changes.items()}
    hashes.add(plan(cell(tmp_path, "awac", seed=1), here).hash)
    assert len(hashes | {first.hash}) == 6
    assert plan(cell(tmp_path, "bc"), here).data == first.data


def test_a_setting_for_other_tasks_makes_no_other_cell(tmp_path: Path) -> None:
    def hash_with(setting: str, task: str) -> str:
        text = SUITE.replace("steps: 40", f"steps: 40, {setting}: 0.5")
        assert text != SUITE
        return plan(cell(tmp_path, "awac", task, text=text), Places(Path("w"), {})).hash

    with_goals, without = "agent.with_goals.discount", "agent.without_goals.discount"
    reach, door = (plan(cell(tmp_path, "awac", t), Places(Path("w"), {})).hash for t in ("reach", "door"))
    assert hash_with(without, "reach") == reach != hash_with(with_goals, "reach")
    assert hash_with(with_goals, "door") == door != hash_with(without, "door")
    assert hash_with("agent.discount", "reach") == hash_with(with_goals, "reach")


def test_a_cell_says_of_its_agent_only_what_differs_from_the_dataclass(tmp_path: Path) -> None:
    """So a setting that comes later, off by default, does not make finished cells other ones."""
    assert without_defaults(AWACConfig()) == {"name": "awac"}
    assert without_defaults(AWACConfig(discount=0.9, mirror_share=0.0)) == {"name": "awac", "discount": 0.9}
    changed = AWACConfig(online=AWACOnline(n_step=2))
    assert without_defaults(changed) == {"name": "awac", "online": {"n_step": 2}}
    learned = plan(cell(tmp_path, "awac"), Places(Path("w"), {})).configuration["pretrain"]["agent"]
    assert learned["mirror_share"] == 0.5
    assert "critics" not in learned


def test_what_a_suite_cannot_set_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no field of pretrain 'step'; did you mean 'steps'"):
        plan(cell(tmp_path, "awac", text=SUITE.replace("{steps: 40}", "{step: 40}")), Places(Path("w"), {}))


def test_a_cell_that_lacks_something_says_what(tmp_path: Path) -> None:
    door = cell(tmp_path, "bc", "door")
    assert door.lacks(Places(Path("w"), {})) == "needs files.door=PATH, the demonstrations"
    gone = str(tmp_path / "gone.pickle")
    assert door.lacks(Places(Path("w"), {"door": gone})) == f"there is no files.door={gone}"
    peer = cell(tmp_path, "tqc")
    assert "benchmarks/peers/README.md" in (peer.lacks(Places(Path("w"), {})) or "")
    assert cell(tmp_path, "bc").lacks(Places(Path("w"), {})) is None
    assert replace(peer.agent, peer=None).peer is None


def test_a_file_counts_by_its_content_not_by_its_place(tmp_path: Path) -> None:
    hashes = []
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
        hashes.append(
            plan(cell(tmp_path, "bc", "door"), Places(Path("w"), {"door": str(tmp_path / name)})).hash
        )
    assert hashes[0] == hashes[1] != hashes[2]


def test_only_what_the_suite_has_can_be_chosen() -> None:
    assert only("seed", None, [0, 1]) == [0, 1]
    assert only("agent", "awac", ["bc", "awac"]) == ["awac"]
    with pytest.raises(UsageError, match="no agent 'awak'; did you mean 'awac'"):
        only("agent", ["awak"], ["bc", "awac"])
