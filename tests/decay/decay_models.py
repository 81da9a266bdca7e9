"""Small models in the shapes and names of well-known code bases."""

import torch
from torch import nn


class TinyAttention(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)
        self.q_norm = nn.RMSNorm(width)
        self.k_norm = nn.RMSNorm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.q_norm(self.q_proj(x)), self.k_norm(self.k_proj(x)), self.v_proj(x)
        return self.o_proj(torch.softmax(q @ k.mT, -1) @ v)


class TinyMLP(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, 2 * width, bias=False)
        self.up_proj = nn.Linear(width, 2 * width, bias=False)
        self.down_proj = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(nn.functional.silu(self.gate_proj(x)) * self.up_proj(x))


class TinyBlock(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(width)
        self.self_attn = TinyAttention(width)
        self.mlp = TinyMLP(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(x)


class TinyLlama(nn.Module):
    """q_proj/k_proj names, RMSNorm gains, an embedding and a head."""

    def __init__(self, width: int = 8, layers: int = 2, tied: bool = False) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(11, width)
        self.layers = nn.ModuleList(TinyBlock(width) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.lm_head = nn.Linear(width, 11, bias=False)
        if tied:
            self.lm_head.weight = self.embed_tokens.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x))


class Conv1D(nn.Module):
    """GPT-2's linear layer, weight stored (inputs, outputs)."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))


class GPT2Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_attn = Conv1D(3 * width, width)
        self.c_proj = Conv1D(width, width)


class GPT2Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = GPT2Attention(width)
        self.mlp = nn.Module()
        self.mlp.c_fc = Conv1D(4 * width, width)
        self.mlp.c_proj = Conv1D(width, 4 * width)


class FakeGPT2(nn.Module):
    """GPT-2's names and layout, head tied to the token embedding."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.transformer = nn.Module()
        self.transformer.wte = nn.Embedding(10, width)
        self.transformer.wpe = nn.Embedding(5, width)
        self.transformer.h = nn.ModuleList([GPT2Block(width)])
        self.transformer.ln_f = nn.LayerNorm(width)
        self.lm_head = nn.Linear(width, 10, bias=False)
        self.lm_head.weight = self.transformer.wte.weight


class Mixture(nn.Module):
    """Experts as stacked 3-D tensors behind a router."""

    def __init__(self, experts: int = 4, width: int = 6) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Module()])
        self.layers[0].mlp = nn.Module()
        self.layers[0].mlp.gate = nn.Linear(width, experts, bias=False)
        self.layers[0].mlp.experts = nn.Module()
        self.layers[0].mlp.experts.gate_up_proj = nn.Parameter(
            torch.randn(experts, 2 * width, width)
        )
        self.layers[0].mlp.experts.down_proj = nn.Parameter(torch.randn(experts, width, width))


def matrix(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def single_weight(weight: torch.Tensor) -> tuple[nn.Module, nn.Parameter]:
    """A module whose only weight is a query matrix."""
    model = nn.Module()
    m, n = weight.shape
    model.query = nn.Linear(n, m, bias=False, dtype=weight.dtype)
    model.query.weight.data.copy_(weight)
    return model, model.query.weight
