"""An ensemble is so many separate networks, computed at once."""

import pytest
import torch
from torch import Tensor, nn

from robot_orl.nn.mlp import EnsembleMLP, mlp, soft_update


def member(ensemble: EnsembleMLP, number: int, layer_norm: bool) -> nn.Sequential:
    """One member as an ordinary network of PyTorch's own layers."""
    layers: list[nn.Module] = []
    for layer in ensemble.layers:
        if hasattr(layer, "weight"):
            linear = nn.Linear(*layer.weight.shape[1:])
            linear.weight.data = layer.weight[number].T.clone()
            linear.bias.data = layer.bias[number, 0].clone()
            layers.append(linear)
        elif hasattr(layer, "scale"):
            norm = nn.LayerNorm(layer.scale.shape[-1])
            norm.weight.data = layer.scale[number, 0].clone()
            norm.bias.data = layer.shift[number, 0].clone()
            layers.append(norm)
        else:
            layers.append(nn.ReLU())
    assert sum(isinstance(layer, nn.LayerNorm) for layer in layers) == (2 if layer_norm else 0)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_an_ensemble_equals_separate_networks_and_their_gradients(layer_norm: bool) -> None:
    torch.manual_seed(0)
    ensemble = EnsembleMLP(3, 5, (7, 6), 2, layer_norm)
    for parameter in ensemble.parameters():  # so that scales and shifts are not ones and zeros
        parameter.data += 0.1 * torch.randn_like(parameter)
    x = torch.randn(11, 5)
    found = ensemble(x)
    assert found.shape == (3, 11, 2)
    found.square().sum().backward()
    for number in range(3):
        network = member(ensemble, number, layer_norm)
        expected = network(x)
        torch.testing.assert_close(found[number], expected, rtol=1e-5, atol=1e-6)
        expected.square().sum().backward()
        first, own = ensemble.layers[0].weight.grad, network[0].weight.grad
        assert isinstance(first, Tensor)
        assert isinstance(own, Tensor)
        torch.testing.assert_close(first[number], own.T, rtol=1e-4, atol=1e-5)


def test_members_start_different_and_take_inputs_of_their_own() -> None:
    torch.manual_seed(0)
    ensemble = EnsembleMLP(2, 3, (4,), 1)
    x = torch.randn(2, 6, 3)
    both = ensemble(x)
    torch.testing.assert_close(both[0], ensemble(x[0])[0])
    torch.testing.assert_close(both[1], ensemble(x[1])[1])
    assert not torch.allclose(ensemble(x[0])[0], ensemble(x[0])[1])


def test_a_network_without_hidden_layers_is_linear() -> None:
    network = mlp(2, (), 1)
    network[0].weight.data = torch.tensor([[2.0, -3.0]])
    network[0].bias.data = torch.tensor([0.5])
    assert network(torch.tensor([[1.0, 1.0], [0.0, 2.0]])).tolist() == [[-0.5], [-5.5]]


def test_soft_update_moves_each_parameter_by_the_rate() -> None:
    target, source = nn.Linear(2, 1), nn.Linear(2, 1)
    target.weight.data, target.bias.data = torch.tensor([[0.0, 8.0]]), torch.tensor([4.0])
    source.weight.data, source.bias.data = torch.tensor([[4.0, 0.0]]), torch.tensor([4.0])
    soft_update(target, source, 0.25)
    assert target.weight.tolist() == [[1.0, 6.0]]
    assert target.bias.tolist() == [4.0]
    soft_update(target, source, 1.0)
    assert torch.equal(target.weight, source.weight)
    assert target.weight.data_ptr() != source.weight.data_ptr()
