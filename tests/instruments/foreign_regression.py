"""A small regression that the laboratory did not train, for functions on foreign modules."""

import torch
from torch import nn


def regression(count=4):
    """A network of two layers in float64, and batches of inputs and targets."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    batches = [(torch.randn(12, 4).double(), torch.randn(12, 2).double()) for _ in range(count)]
    return model, batches


def loss(model, batch):
    """Mean squared error."""
    return (model(batch[0]) - batch[1]).square().mean()
