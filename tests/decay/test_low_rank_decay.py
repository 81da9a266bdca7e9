"""Low-rank decay beside torch optimizers."""

import warnings

import pytest
import torch
from decay_models import TinyLlama, matrix, single_weight
from torch import nn

from spectraledge.decay import LowRankDecay, low_rank_decayed, per_head
from spectraledge.decay import stacks as stacks_module

EXACT = {"scale": "absolute", "method": "svd"}


def quiet_step(weight: nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
    """An optimizer step on a zero gradient, which moves nothing by itself."""
    weight.grad = torch.zeros_like(weight)
    optimizer.step()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        tokens = torch.randint(11, (4, 5), generator=generator)
        optimizer.zero_grad()
        model(tokens).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "build",
    [
        lambda p: torch.optim.SGD(p, lr=0.1),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.0),
        lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.01), weight_decay=0.0, foreach=False),
    ],
)
def test_decays_after_the_step_of_the_optimizer(build: object) -> None:
    model, weight = single_weight(matrix(6, 6))
    twin = nn.Parameter(weight.detach().clone())
    optimizer, plain = build(model.parameters()), build([twin])
    LowRankDecay(model, 2.0, **EXACT).attach(optimizer)
    weight.grad = twin.grad = matrix(6, 6, seed=1)
    optimizer.step()
    plain.step()
    amount = 2.0 * float(plain.param_groups[0]["lr"])
    # The same step and the same SVD: only the learning rate's float32 form may round.
    expected = low_rank_decayed(twin.detach(), amount, method="svd")
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-7, atol=1e-7)


def test_decays_once_after_lbfgs_and_its_many_closures() -> None:
    model, weight = single_weight(matrix(4, 4))
    twin_model, twin = single_weight(matrix(4, 4))
    calls = 0

    def closure_of(parameter: nn.Parameter) -> object:
        def closure() -> torch.Tensor:
            nonlocal calls
            calls += 1
            parameter.grad = None
            loss = (parameter - 1.0).pow(4).sum()
            loss.backward()
            return loss

        return closure

    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5)
    plain = torch.optim.LBFGS(twin_model.parameters(), lr=0.5)
    LowRankDecay(model, 0.2, **EXACT).attach(optimizer)
    optimizer.step(closure_of(weight))
    assert calls > 2
    plain.step(closure_of(twin))
    expected = low_rank_decayed(twin.detach(), 0.2 * 0.5, method="svd")
    assert torch.equal(weight.detach(), expected)


def test_hooks_run_in_the_order_of_registration() -> None:
    model, weight = single_weight(torch.eye(3, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(weight.detach().trace().item()))
    LowRankDecay(model, 0.25, **EXACT).attach(optimizer)
    optimizer.register_step_post_hook(lambda *_: seen.append(weight.detach().trace().item()))
    quiet_step(weight, optimizer)
    # fp64 SVD of the identity.
    assert seen == pytest.approx([3.0, 2.25], abs=1e-12)


def test_sum_of_amounts_is_strength_times_sum_of_learning_rates() -> None:
    model, weight = single_weight(torch.diag(torch.tensor([5.0, 4.0, 3.0], dtype=torch.float64)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=31)
    LowRankDecay(model, 0.8, every=3, **EXACT).attach(optimizer)
    rates = 0.0
    for _ in range(30):
        rates += optimizer.param_groups[0]["lr"]
        quiet_step(weight, optimizer)
        schedule.step()
    lost = torch.tensor([5.0, 4.0, 3.0]) - weight.detach().diagonal()
    # Ten SVDs of a diagonal matrix in fp64.
    assert lost.tolist() == pytest.approx([0.8 * rates] * 3, rel=1e-12)


def test_uncoupled_decay_ignores_the_learning_rate() -> None:
    model, weight = single_weight(4 * torch.eye(3, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=123.0)
    LowRankDecay(model, 0.5, coupled=False, **EXACT).attach(optimizer)
    quiet_step(weight, optimizer)
    assert weight.detach().diagonal().tolist() == pytest.approx([3.5] * 3, abs=1e-12)


@pytest.mark.parametrize("every", [2, 5])
def test_every_k_equals_k_separate_steps_without_gradients(every: int) -> None:
    (rare, rare_weight), (often, often_weight) = (single_weight(matrix(8, 5)) for _ in range(2))
    rare_optimizer = torch.optim.SGD(rare.parameters(), lr=0.1)
    often_optimizer = torch.optim.SGD(often.parameters(), lr=0.1)
    LowRankDecay(rare, 0.6, every=every, **EXACT).attach(rare_optimizer)
    LowRankDecay(often, 0.6, **EXACT).attach(often_optimizer)
    for step in range(10):
        for group in (*rare_optimizer.param_groups, *often_optimizer.param_groups):
            group["lr"] = 0.1 + 0.01 * step
        quiet_step(rare_weight, rare_optimizer)
        quiet_step(often_weight, often_optimizer)
    # Semigroup of the exact step; ten fp64 SVDs.
    torch.testing.assert_close(rare_weight, often_weight, rtol=1e-12, atol=1e-12)


def test_groups_have_their_own_learning_rates() -> None:
    model = TinyLlama().double()
    first, second = model.layers[0].self_attn, model.layers[1].self_attn
    rest = [p for n, p in model.named_parameters() if "q_proj" not in n]
    optimizer = torch.optim.SGD(
        [
            {"params": [first.q_proj.weight], "lr": 0.3},
            {"params": [second.q_proj.weight], "lr": 0.0},
            {"params": rest},
        ],
        lr=0.1,
    )
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    LowRankDecay(model, 1.0, **EXACT).attach(optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        rate = {"layers.0.self_attn.q_proj.weight": 0.3, "layers.1.self_attn.q_proj.weight": 0.0}
        amount = rate.get(name, 0.1 if "k_proj" in name else 0.0)
        expected = low_rank_decayed(before[name], amount, method="svd") if amount else before[name]
        # Batched and single SVDs of the same numbers, fp64; a rate of zero touches no bit.
        tolerance = 1e-12 if amount else 0.0
        torch.testing.assert_close(parameter.detach(), expected, rtol=tolerance, atol=tolerance)


def test_loading_an_optimizer_state_keeps_the_learning_rate_coupling() -> None:
    model, weight = single_weight(4 * torch.eye(3, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    LowRankDecay(model, 0.5, **EXACT).attach(optimizer)
    state = optimizer.state_dict()
    state["param_groups"][0]["lr"] = 2.0
    optimizer.load_state_dict(state)
    quiet_step(weight, optimizer)
    assert weight.detach().diagonal().tolist() == pytest.approx([3.0] * 3, abs=1e-12)


def test_tied_weights_are_decayed_once() -> None:
    model = nn.Module()
    model.query, model.key = (nn.Linear(3, 3, bias=False, dtype=torch.float64) for _ in range(2))
    model.key.weight = model.query.weight
    model.query.weight.data.copy_(2 * torch.eye(3))
    LowRankDecay(model, 0.5, coupled=False, **EXACT).step()
    assert model.query.weight.detach().diagonal().tolist() == pytest.approx([1.5] * 3, abs=1e-12)


def test_parameters_without_a_gradient_are_left_alone() -> None:
    model = TinyLlama()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    LowRankDecay(model, 1.0).attach(optimizer)
    used, unused = model.layers[0].self_attn.q_proj, model.layers[1].self_attn.q_proj
    before = unused.weight.detach().clone()
    used.weight.grad = torch.zeros_like(used.weight)
    start = used.weight.detach().clone()
    optimizer.step()
    assert torch.equal(unused.weight, before)
    assert not torch.equal(used.weight, start)


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_skipped_by_the_gradient_scaler_decays_nothing(fused: bool) -> None:
    model, weight = single_weight(4 * torch.eye(3))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=fused)
    LowRankDecay(model, 0.5, **EXACT).attach(optimizer)
    scaler = torch.amp.GradScaler("cpu")
    for factor, expected in ((float("inf"), 4.0), (0.0, 3.5)):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        # float32 SVD of a multiple of the identity.
        assert weight.detach().diagonal().tolist() == pytest.approx([expected] * 3, abs=1e-5)


def test_weights_decay_per_head() -> None:
    model, weight = single_weight(matrix(8, 8))
    before = weight.detach().clone()
    LowRankDecay(model, 0.3, coupled=False, blocks=per_head(4), **EXACT).step()
    for head in range(4):
        rows = slice(2 * head, 2 * head + 2)
        expected = low_rank_decayed(before[rows], 0.3, method="svd")
        torch.testing.assert_close(weight.detach()[rows], expected, rtol=1e-12, atol=1e-12)


def test_stacks_of_limited_size_give_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = TinyLlama(), TinyLlama()
    two.load_state_dict(one.state_dict())
    LowRankDecay(one, 0.1, coupled=False, select="all").step()
    monkeypatch.setattr(stacks_module, "LARGEST_STACK", 70)
    LowRankDecay(two, 0.1, coupled=False, select="all").step()
    for left, right in zip(one.parameters(), two.parameters()):
        # The same kernels on smaller batches; float32 products may be summed in another order.
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


def test_moving_the_model_to_another_number_type_keeps_it_decayed() -> None:
    model, weight = single_weight(4 * torch.eye(3, dtype=torch.float64))
    decay = LowRankDecay(model, 0.5, coupled=False, **EXACT)
    model.float()
    decay.step()
    # float32 SVD of a multiple of the identity.
    assert model.query.weight.detach().diagonal().tolist() == pytest.approx([3.5] * 3, abs=1e-5)
    assert model.query.weight is weight


def test_a_diverged_weight_does_not_stop_the_others() -> None:
    model = TinyLlama()
    broken, sound = (layer.self_attn.q_proj.weight.detach() for layer in model.layers)
    broken.fill_(torch.nan)
    before = sound.clone()
    LowRankDecay(model, 0.1, coupled=False).step()
    assert broken.isnan().all()
    assert sound.isfinite().all()
    # A tenth of the norm of the weight, but the first step assumes full rank, and at so large a
    # rate the smallest of the 8 singular values are below the amount.
    assert float((sound - before).norm() / before.norm()) == pytest.approx(0.1, rel=0.2)


def test_detached_decay_acts_no_more() -> None:
    model, weight = single_weight(torch.eye(3, dtype=torch.float64))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    decay = LowRankDecay(model, 0.5).attach(optimizer)
    decay.detach()
    decay.detach()
    quiet_step(weight, optimizer)
    assert torch.equal(weight.detach(), torch.eye(3))
    decay.attach(optimizer)
    quiet_step(weight, optimizer)
    assert weight.detach().trace() < 3


def test_published_rule_by_its_four_settings() -> None:
    start = matrix(16, 16, dtype=torch.float32) / 4
    model, weight = single_weight(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.7)
    LowRankDecay(model, 0.005, scale="absolute", coupled=False, method="published").attach(
        optimizer
    )
    W = start
    for _ in range(10):
        quiet_step(weight, optimizer)
        X = W / (W.norm() + 1e-8)
        for _ in range(5):
            X = 0.5 * X @ (3 * torch.eye(16) - X.T @ X)
        W = W - 0.005 * X
        # float32 products in another order.
        torch.testing.assert_close(weight.detach(), W, rtol=0, atol=1e-6)


def test_strength_may_change_between_steps() -> None:
    model, weight = single_weight(4 * torch.eye(3, dtype=torch.float64))
    decay = LowRankDecay(model, 0.0, coupled=False, **EXACT)
    decay.step()
    assert torch.equal(weight.detach(), 4 * torch.eye(3, dtype=torch.float64))
    decay.strength = 1.0
    decay.step()
    assert weight.detach().diagonal().tolist() == pytest.approx([3.0] * 3, abs=1e-12)


def test_training_with_decay_ends_at_a_lower_rank() -> None:
    ranks = {}
    for strength in (0.0, 5.0):
        torch.manual_seed(0)
        model = TinyLlama()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
        LowRankDecay(model, strength).attach(optimizer)
        train(model, optimizer, 60)
        s = torch.linalg.svdvals(model.layers[0].self_attn.q_proj.weight.detach())
        ranks[strength] = float(s.square().sum() / s[0] ** 2)
    # Sum of rates 60 * 3e-3 * 5 = 0.9: enough to remove about half of the norm.
    assert ranks[5.0] < 0.8 * ranks[0.0]


def test_warns_once_of_weight_decay_on_the_same_parameters() -> None:
    model = TinyLlama()
    optimizer = torch.optim.AdamW(model.parameters())
    with pytest.warns(UserWarning, match=r"also decays 4 of .*weight_decay=0.01 on 'layers.0"):
        LowRankDecay(model, 0.1).attach(optimizer)
    decayed = [p for n, p in model.named_parameters() if "q_proj" in n or "k_proj" in n]
    rest = [p for n, p in model.named_parameters() if not ("q_proj" in n or "k_proj" in n)]
    apart = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.0}, {"params": rest}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LowRankDecay(model, 0.1).attach(apart)


def test_warns_once_when_sixteen_bit_weights_cannot_hold_the_step() -> None:
    model = TinyLlama(64).bfloat16()
    decay = LowRankDecay(model, 1e-3, coupled=False)
    # Half the spacing of bfloat16 numbers is 2^-9 = 1.95e-3 of the number at the least.
    with pytest.warns(UserWarning, match=r"1.0e-03 a step is lost in torch.bfloat16 .*\(every=2\)"):
        decay.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decay.step()
        LowRankDecay(model, 0.05, coupled=False).step()
        LowRankDecay(model.float(), 1e-3, coupled=False).step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1.0}, "expected a finite strength >= 0, got strength=-1.0; 0.1 to 1"),
        ({"strength": float("nan")}, "got strength=nan"),
        ({"every": 0}, "expected a whole every >= 1, got every=0"),
        ({"scale": "adaptiv"}, "unknown scale 'adaptiv'; known: .*did you mean 'adaptive'"),
        ({"method": "flored"}, "unknown method 'flored'; known: .*did you mean 'floored'"),
        ({"steps": 3, "method": "svd"}, "got steps=3 for 'svd'"),
        ({"select": "atention"}, "did you mean 'attention'"),
    ],
)
def test_errors_at_construction(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LowRankDecay(TinyLlama(), **{"strength": 0.1, **options})


def test_errors_of_attach_and_step() -> None:
    model = TinyLlama()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    decay = LowRankDecay(model, 0.1)
    with pytest.raises(TypeError, match=r"expected a torch.optim.Optimizer, got TinyLlama; call"):
        decay.attach(model)
    with pytest.raises(ValueError, match=r"coupled=True needs a learning rate: step\(lr\)"):
        decay.step()
    with pytest.raises(ValueError, match=r"expected a finite lr >= 0, got lr=-0.1"):
        decay.step(-0.1)
    partial = torch.optim.SGD(model.layers[0].parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"without layers.1.self_attn.q_proj.weight, layers.1"):
        decay.attach(partial)
    decay.attach(optimizer)
    with pytest.raises(RuntimeError, match=r"attached already; call detach\(\) first"):
        decay.attach(optimizer)
    with pytest.raises(RuntimeError, match="already calls it after each step"):
        decay.step(0.1)


def test_parameters_without_names_are_refused() -> None:
    with pytest.raises(TypeError, match=r"pass the model itself or model.named_parameters"):
        LowRankDecay(TinyLlama().parameters(), 0.1)


def test_two_decays_of_one_optimizer_are_told() -> None:
    model = TinyLlama()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    first = LowRankDecay(model, 0.1).attach(optimizer)
    with pytest.warns(UserWarning, match="another low-rank decay .* decays 4 of the same"):
        LowRankDecay(model, 0.1).attach(optimizer).detach()
    first.detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LowRankDecay(model, 0.1).attach(optimizer)


def test_a_watcher_sees_each_decay_and_nothing_after_it_left() -> None:
    model, seen = TinyLlama(), []

    class Watcher:
        def before(self, parameters) -> None:
            seen.append([p.detach().clone() for p in parameters])

        def after(self, parameters) -> None:
            seen.append([p.detach().clone() for p in parameters])

    decay = LowRankDecay(model, 0.5, coupled=False, every=2)
    stop = decay.watch(Watcher())
    decay.step()
    assert not seen  # nothing is decayed yet
    decay.step()
    assert len(seen) == 2
    assert all((a != b).any() for a, b in zip(*seen, strict=True))
    stop()
    stop()
    decay.step()
    decay.step()
    assert len(seen) == 2


def test_a_compiled_model_has_the_state_of_the_plain_one() -> None:
    model = TinyLlama()
    plain, compiled = LowRankDecay(model, 0.1, coupled=False), torch.compile(model)
    wrapped = LowRankDecay(compiled, 0.1, coupled=False)
    wrapped.step()
    plain.load_state_dict(wrapped.state_dict())
    assert plain.state_dict()["rho"].keys() == wrapped.state_dict()["rho"].keys()


def test_repr_and_table() -> None:
    decay = LowRankDecay(TinyLlama().named_parameters(), 0.1)
    assert repr(decay) == ("LowRankDecay(4 weights, 0.1, scale='adaptive', coupled=True, every=1)")
    assert "an embedding" in str(decay.describe())
