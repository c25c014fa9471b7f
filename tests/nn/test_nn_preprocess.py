"""Preprocessing inside the network equals features and normalisation outside of it."""

import numpy as np
import pytest
import torch
from learning_toys import goal_spec, point_spec

from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.nn.preprocess import Preprocess
from robot_orl.types import Spec


@pytest.mark.parametrize("spec", [goal_spec(), point_spec()], ids=["goal", "no goal"])
def test_it_equals_features_and_normalisation(spec: Spec) -> None:
    rng = np.random.default_rng(0)
    obs = rng.normal(3, 2, (200, spec.observation_size)).astype(np.float32)
    features = features_of(obs, spec)
    normalizer = Normalizer.fit(features)
    module = Preprocess(spec, normalizer)
    assert module.size == features.shape[1]
    expected = np.clip((features - normalizer.mean) / normalizer.std, -10, 10)
    np.testing.assert_array_equal(module(torch.from_numpy(obs)).numpy(), expected)
    assert abs(expected.mean()) < 1e-5
    np.testing.assert_allclose(expected.std(axis=0), 1, rtol=1e-4)


def test_by_hand_with_the_clip() -> None:
    normalizer = Normalizer(np.float32([0, 1, 2, 3, 4, 5, 6]), np.float32([1, 1, 1, 1, 2, 2, 0.5]))
    module = Preprocess(goal_spec(), normalizer)
    obs = torch.tensor([[50.0, 1, 2, 10, 30]])  # speed, goal (1, 2), thing (10, 30)
    # differences -9 and -28: (-9 - 5) / 2 = -7 and (-28 - 6) / 0.5 = -68
    assert module(obs).tolist() == [[10, 0, 0, 7, 10, -7, -10]]


def test_the_scale_is_no_parameter_and_travels_with_the_weights() -> None:
    normalizer = Normalizer(np.float32([2]), np.float32([4]))
    module = Preprocess(point_spec(), normalizer)
    assert list(module.parameters()) == []
    assert set(module.state_dict()) == {"mean", "std"}
    normalizer.mean[:] = 99  # the module keeps a copy
    assert module(torch.tensor([[10.0]])).item() == 2.0
