"""A model of what somebody did in each state that can be drawn from: codes to actions and back."""

import torch
from torch import Tensor, nn

from robot_orl.nn.mlp import mlp


class Autoencoder(nn.Module):
    """A conditional variational autoencoder of actions (Kingma & Welling 2014; Fujimoto et al. 2019, BCQ)."""

    def __init__(self, features: int, hidden: tuple[int, ...], action_size: int) -> None:
        super().__init__()
        self.code_size = 2 * action_size
        self.encoder = mlp(features + action_size, hidden, 2 * self.code_size)
        self.decoder = mlp(features + self.code_size, hidden, action_size)

    def forward(self, state: Tensor, action: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (B, A) as they come back, mean and log deviation of their codes (B, 2A). noise: (B, 2A)."""
        both = self.encoder(torch.cat([state, action], dim=-1)).float()
        mean, log_std = both[:, : self.code_size], both[:, self.code_size :].clamp(-4, 15)
        code = mean + noise * log_std.exp()
        return torch.tanh(self.decode(state, code)), mean, log_std

    def decode(self, state: Tensor, code: Tensor) -> Tensor:
        """(..., B, F), (..., B, 2A) -> actions before the tanh (..., B, A)."""
        return self.decoder(torch.cat([state, code], dim=-1)).float()
