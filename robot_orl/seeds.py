"""Which reset seeds are used for what: the ranges never meet, so evaluation seeds are never trained on.

run seed s, collection     s * 1e6 + 0 ...       episode i of `collect seed=s`
run seed s, finetuning     s * 1e6 + 5e5 ...     online episode i
deployment seed s          1e9 + s * 5e5 ...     episode i of a deployed run
validation                 1_900_000_000 ...     learning curves while training
evaluation                 2_000_000_000 ...     reported figures, nothing else
"""

from robot_orl.errors import UsageError

MAX_RUN_SEED = 999
EPISODES_PER_STAGE = 500_000
VALIDATION_SEEDS = range(1_900_000_000, 1_900_010_000)
EVALUATION_SEEDS = range(2_000_000_000, 2_000_010_000)


def collection_seed(run_seed: int, episode: int) -> int:
    _check(run_seed, episode)
    return run_seed * 1_000_000 + episode


def finetune_seed(run_seed: int, episode: int) -> int:
    _check(run_seed, episode)
    return run_seed * 1_000_000 + EPISODES_PER_STAGE + episode


def deployment_seed(seed: int, episode: int) -> int:
    _check(seed, episode)
    return 1_000_000_000 + seed * EPISODES_PER_STAGE + episode


def _check(seed: int, episode: int) -> None:
    if not 0 <= seed <= MAX_RUN_SEED:
        raise UsageError(f"seed={seed} is outside 0 .. {MAX_RUN_SEED}")
    if not 0 <= episode < EPISODES_PER_STAGE:
        raise UsageError(f"a run has at most {EPISODES_PER_STAGE} episodes; episode {episode} was asked for")
