import pytest

from data_collection.operators.policy import PolicyConfig, PolicyOperator
from robot_orl.errors import UsageError
from robot_orl.types import Signal, Spec


def test_a_policy_operator_without_a_path_says_what_it_needs() -> None:
    spec = Spec("any", {}, (Signal("a"),), control_hz=20.0, horizon=10)
    with pytest.raises(UsageError, match="operator=policy needs path="):
        PolicyOperator(PolicyConfig(), spec)
