"""The batched trainer against torch's own optimizer, itself unbatched, and itself interrupted."""

import itertools
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cases import EAGER, TINY, TINY_MODEL, tiny
from spectraledge.models import PreNormEncoderSpec, seeded
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import (
    At,
    Every,
    Execution,
    Problem,
    RunSpec,
    Schedule,
    Trainer,
    batch_key,
    merge_states,
    train,
)
from spectraledge.training.execution import compiled
from spectraledge.updates import SGD, Adam, ClipGradient, LowRank, WeightDecay


def final(specs, execution=EAGER, **options):
    *_, last = Trainer(Problem(specs, execution), **options).snapshots()
    return last


# --- parity with torch -----------------------------------------------------------------------


def torch_run(spec: RunSpec, decay: dict[str, float], clip: float | None) -> torch.Tensor:
    """The slow and obvious loop: eager module, autograd, torch.optim, torch's schedulers."""
    problem = Problem([spec], EAGER)
    task = spec.task
    model = spec.model.build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=spec.seed
    )
    qk = set(problem.groups["qk"])
    named = dict(model.named_parameters())
    groups = [
        {"params": [p for n, p in named.items() if n in qk], "weight_decay": decay["qk"]},
        {"params": [p for n, p in named.items() if n not in qk], "weight_decay": decay["rest"]},
    ]
    optimizer = torch.optim.AdamW(groups, lr=spec.lr, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: spec.schedule.factor(step + 1)
    )
    for step in range(spec.steps):
        tokens, labels = (x[0] for x in problem.batch(step))
        optimizer.zero_grad()
        F.cross_entropy(model.naive_forward(tokens), labels).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        schedule.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(
    ("clip", "schedule"),
    [(None, Schedule()), (0.5, Schedule("cosine", warmup=20, total=100, floor=0.1))],
)
def test_adamw_parity_over_100_steps(clip, schedule):
    links = (WeightDecay(3.0, on="qk"), WeightDecay(0.1, on="not_qk"), Adam(beta2=0.98))
    updates = links if clip is None else (ClipGradient(clip), *links)
    spec = tiny(updates=updates, steps=100, schedule=schedule, record_every=100)
    ours = final([spec]).parameters[0]
    theirs = torch_run(spec, {"qk": 3.0, "rest": 0.1}, clip)
    start = Problem([spec], EAGER).initial_parameters()[0]
    # Both are float32 with sums in another order; Adam's normalisation turns a rounding of the
    # gradient into up to lr * eps / |g| per entry and step. Measured 3e-5 of the distance moved.
    assert (ours - theirs).norm() < 1e-3 * (ours - start).norm()


def test_sgd_momentum_parity():
    spec = tiny(updates=(WeightDecay(0.5), SGD(momentum=0.9)), lr=0.05, steps=50)
    problem = Problem([spec], EAGER)
    model = spec.model.build(vocabulary=8, length=3, classes=8, seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(50):
        tokens, labels = (x[0] for x in problem.batch(step))
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), labels).backward()
        with torch.no_grad():
            for p in model.parameters():
                p.mul_(1 - 0.05 * 0.5)
        optimizer.step()
    theirs = torch.cat([p.detach().flatten() for p in model.parameters()])
    ours = final([spec]).parameters[0]
    # SGD has no division by small numbers: 50 steps of float32 rounding, measured 2e-7.
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


# --- batches ---------------------------------------------------------------------------------

DIFFERENT = [
    tiny(seed=1),
    tiny(seed=2, lr=3e-3, updates=(WeightDecay(1.0), Adam(beta2=0.98))),
    tiny(seed=3, task=ModularArithmetic(modulus=7, operation="sub", train_fraction=0.4)),
    tiny(seed=4, task=ModularArithmetic(modulus=7, operation="div", train_fraction=0.6)),
    tiny(seed=5, data_seed=7, task=ModularArithmetic(modulus=7, split="ordered")),
]


def test_batched_equals_separate_bitwise_in_eager():
    together = final(DIFFERENT)
    for run, spec in enumerate(DIFFERENT):
        alone = final([spec])
        # vmap turns every product into a batched one also for one run: the same kernels run.
        assert torch.equal(together.parameters[run], alone.parameters[0]), spec
        for name, value in alone.metrics.items():
            # Weights are bitwise equal, but evaluation pads to the longest data set, and other
            # row counts take other float32 kernels.
            torch.testing.assert_close(
                together.metrics[name][run], value[0], rtol=1e-6, atol=0, equal_nan=True
            )


def test_batches_depend_on_the_run_alone():
    together, alone = Problem(DIFFERENT, EAGER), Problem(DIFFERENT[2:3], EAGER)
    for step in (0, 5, 1000):
        for ours, theirs in zip(together.batch(step), alone.batch(step)):
            assert torch.equal(ours[2], theirs[0])


def test_epochs_visit_every_example_once():
    spec = tiny(batch_size=5)
    problem = Problem([spec], EAGER)
    size = len(problem.data.train[0])
    steps = size  # `size` batches of 5 are exactly 5 epochs
    tokens = torch.cat([problem.batch(step)[0][0] for step in range(steps)])
    _, counts = tokens.unique(dim=0, return_counts=True)
    assert len(counts) == size
    assert counts.eq(5).all()


def test_salt_changes_batches_and_measuring_leaves_training_alone():
    problem = Problem([TINY], EAGER)
    before = problem.batch(3)
    assert not torch.equal(problem.batch(3, salt="measure")[0], before[0])
    assert torch.equal(problem.batch(3)[0], before[0])


def test_replacement_sampling_draws_from_the_training_set():
    problem = Problem([tiny(sampling="replacement", batch_size=400)], EAGER)
    tokens, labels = problem.batch(0)
    rows = {tuple(t) for t in problem.data.tokens[0][problem.data.train[0]].tolist()}
    assert {tuple(t) for t in tokens[0].tolist()} == rows  # 400 draws miss one of 24 w.p. 1e-6
    assert torch.equal(labels[0], tokens[0, :, :2].sum(1) % 7)


def test_gradient_equals_autograd_on_the_naive_model():
    problem = Problem([TINY], EAGER)
    theta = problem.initial_parameters()
    tokens, labels = problem.batch(0)
    gradient, loss, accuracy = problem.gradient(theta, tokens, labels)
    model = TINY_MODEL.build(vocabulary=8, length=3, classes=8, seed=0)
    logits = model.naive_forward(tokens[0])
    expected = F.cross_entropy(logits, labels[0])
    pieces = torch.autograd.grad(expected, list(model.parameters()))
    reference = torch.cat([p.flatten() for p in pieces])
    # float32 rounding of sums of about 50 terms.
    torch.testing.assert_close(gradient[0], reference, rtol=1e-4, atol=1e-6)
    assert loss[0].item() == pytest.approx(expected.item(), rel=1e-6)
    assert accuracy[0].item() == pytest.approx(
        (logits.argmax(-1) == labels[0]).float().mean().item(), abs=1e-6
    )


def test_evaluation_by_brute_force():
    problem = Problem([TINY, DIFFERENT[3]], EAGER)
    theta = problem.initial_parameters()
    metrics = problem.evaluate(theta)
    for run, spec in enumerate((TINY, DIFFERENT[3])):
        data = spec.task.dataset(spec.data_seed)
        model = spec.model.build(vocabulary=8, length=3, classes=8, seed=spec.seed)
        hit = model(data.tokens).argmax(-1) == data.labels
        rows = set(data.validation.tolist())
        for name, subset in data.subsets.items():
            chosen = [r for r in rows if subset[r]]
            expected = hit[chosen].float().mean().item()
            ours = metrics[f"validation_accuracy_{name}"][run].item()
            assert ours == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert metrics["train_accuracy"][run].item() == pytest.approx(
            hit[data.train].float().mean().item(), abs=1e-6
        )


# --- parts of the displacement ---------------------------------------------------------------


def test_parts_sum_to_the_displacement():
    updates = (
        WeightDecay(2.0, on="qk"),
        WeightDecay(0.1, on="not_qk"),
        Adam(),
        LowRank(0.05, scale="absolute", coupled=False, method="svd"),
    )
    problem = Problem([tiny(updates=updates, seed=s) for s in (0, 1)], EAGER)
    trainer = Trainer(problem, record_parts=True)
    snapshots = list(trainer.snapshots())
    for before, after in itertools.pairwise(snapshots):
        moved = after.parameters.double() - before.parameters.double()
        total = sum(after.parts.values())
        assert set(after.parts) == {"weight_decay", "gradient", "low_rank"}
        assert all(part.abs().max() > 1e-6 for part in after.parts.values())
        # Each part adds exact float64 differences: a dozen float64 roundings.
        assert (moved - total).abs().max() < 1e-14


def test_parts_of_some_parameters_only():
    name = "blocks.0.attention.key.weight"
    problem = Problem([TINY], EAGER)
    everything = list(Trainer(problem, record_parts=True).snapshots())
    some = list(Trainer(problem, record_parts=[name]).snapshots())
    inside = problem.layout.mask([name])
    for whole, partial in zip(everything[1:], some[1:]):
        for part, values in partial.parts.items():
            assert torch.equal(values[:, inside], whole.parts[part][:, inside])
            assert values[:, ~inside].isnan().all()


def test_recording_parts_does_not_change_training():
    assert torch.equal(final([TINY]).parameters, final([TINY], record_parts=True).parameters)


def test_weight_decay_part_in_closed_form():
    spec = tiny(updates=(WeightDecay(0.5), SGD()), steps=1, lr=0.1, record_every=1)
    first, last = Trainer(Problem([spec], EAGER), record_parts=True).snapshots()
    expected = -0.05 * first.parameters.double()
    # Forming (1 - 0.05) theta in float32 costs one rounding of theta, at most 2^-24 |theta|.
    error = (last.parts["weight_decay"] - expected).abs()
    assert (error <= 2**-23 * first.parameters.abs()).all()


# --- resuming and diverging ------------------------------------------------------------------


@pytest.mark.parametrize("stop", [4, 8])
def test_resume_is_exact_and_rebatches(stop):
    specs = [tiny(seed=s, updates=(WeightDecay(0.1), Adam(), LowRank(0.3))) for s in (0, 1, 2)]
    whole = list(Trainer(Problem(specs, EAGER), record_parts=True).snapshots())
    trainer = Trainer(Problem(specs, EAGER), record_parts=True)
    for snapshot in trainer.snapshots():
        if snapshot.step == stop:
            break
    saved = [trainer.state.tensors(run) for run in (2, 0)]
    state = merge_states(saved, links=3)
    resumed = list(Trainer(Problem([specs[2], specs[0]], EAGER), state=state).snapshots())
    expected = [s for s in whole if s.step > stop]
    assert [s.step for s in resumed] == [s.step for s in expected]
    for ours, theirs in zip(resumed, expected):
        assert torch.equal(ours.parameters, theirs.parameters[[2, 0]])
        for name in theirs.parts:
            assert torch.equal(ours.parts[name], theirs.parts[name][[2, 0]])


def test_states_of_different_steps_are_refused():
    problem = Problem([TINY], EAGER)
    trainer = Trainer(problem)
    one = trainer.state.tensors(0)
    trainer.step_()
    with pytest.raises(ValueError, match=r"one step, got steps \[0, 1\]"):
        merge_states([one, trainer.state.tensors(0)], links=2)
    with pytest.raises(ValueError, match="theta"):
        merge_states([one, {k: v for k, v in one.items() if k != "theta"}], links=2)


def test_a_diverging_run_is_masked_and_its_mates_go_on():
    good, mate = tiny(seed=0, updates=(SGD(),)), tiny(seed=1, updates=(SGD(),))
    # Without clipping, SGD at this rate overflows float32 within a few steps.
    bad = tiny(seed=2, updates=(SGD(),), lr=1e30)
    together = Trainer(Problem([good, bad, mate], EAGER), record_parts=True)
    snapshots = list(together.snapshots())
    assert snapshots[-1].alive.tolist() == [True, False, True]
    lost = together.state.lost_at
    assert lost[0] == lost[2] == -1
    assert 1 <= lost[1] <= TINY.steps
    frozen = [s.parameters[1] for s in snapshots if s.step >= lost[1]]
    assert all(torch.equal(frozen[0], other) for other in frozen)
    assert all(s.parts["gradient"][1].eq(0).all() for s in snapshots if s.step > lost[1] + 4)
    apart = final([good, mate])
    assert torch.equal(snapshots[-1].parameters[[0, 2]], apart.parameters)


# --- compiled --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error:.*runs eagerly")
def test_compiled_equals_eager():
    specs = [tiny(seed=s) for s in (0, 1)]
    eager, fast = final(specs), final(specs, Execution(compile=True))
    start = Problem(specs, EAGER).initial_parameters()
    # Same arithmetic in another order; 12 Adam steps amplify roundings as in the parity test.
    moved = (eager.parameters - start).norm()
    assert (eager.parameters - fast.parameters).norm() < 1e-3 * moved


def test_one_warning_without_a_compiler(monkeypatch):
    from spectraledge.training import execution

    monkeypatch.setattr(execution.shutil, "which", lambda name: None)
    execution._warn_once.cache_clear()
    function = lambda x: x + 1  # noqa: E731
    with pytest.warns(UserWarning, match=r"no C\+\+ compiler found") as caught:
        wrapped = [execution.compiled(function, Execution()) for _ in range(2)]
    assert len(caught) == 1
    assert wrapped == [function, function]


def test_eager_after_a_failed_compilation(monkeypatch):
    from spectraledge.training import execution

    execution._warn_once.cache_clear()

    def broken(function, **options):
        def call(*arguments):
            raise torch._dynamo.exc.BackendCompilerFailed(broken, RuntimeError("no"), None)

        return call

    monkeypatch.setattr(torch, "compile", broken)
    wrapped = execution.compiled(lambda x: x + 1, Execution())
    with pytest.warns(UserWarning, match="runs eagerly"):
        assert wrapped(1) == 2
    assert wrapped(2) == 3


def test_a_library_torn_by_an_interrupted_linker_is_built_again(monkeypatch, tmp_path):
    torn = tmp_path / "kernel.main.so"
    torn.touch()

    def loading(function, **options):
        def call(*arguments):
            if torn.exists():
                reason = ImportError(f"{torn}: file too short")
                raise torch._dynamo.exc.BackendCompilerFailed(loading, reason, None)
            return "compiled"

        return call

    monkeypatch.setattr(torch, "compile", loading)
    assert compiled(lambda x: x, Execution())(1) == "compiled"
    assert not torn.exists()


def test_bfloat16_trains_float32_master_weights():
    spec = tiny(compute="bfloat16", steps=60, record_every=60, lr=1e-2)
    first, last = Trainer(Problem([spec], EAGER)).snapshots()
    assert last.parameters.dtype == torch.float32
    # A bfloat16 master would make every entry a multiple of 2^-8 of its leading bit.
    assert not torch.equal(last.parameters, last.parameters.bfloat16().float())
    assert last.metrics["train_loss"] < 0.5 * first.metrics["train_loss"]


# --- the user's own model, cadence, errors ---------------------------------------------------


def test_another_architecture_in_its_place():
    spec = tiny(
        model=PreNormEncoderSpec(width=16, heads=2, mlp_width=8),
        task=ModularArithmetic(modulus=7, form="two_token"),
        updates=(ClipGradient(1.0), WeightDecay(1.0), Adam(beta2=0.98)),
        steps=200,
        lr=1e-2,
        record_every=200,
    )
    *_, last = train(Problem([spec], EAGER))
    assert last.metrics["train_accuracy"] > 0.9


class Perceptron(nn.Module):
    """Somebody's own module: embeds, concatenates, classifies."""

    def __init__(self, vocabulary, length, classes):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 16)
        self.hidden = nn.Linear(16 * length, 32)
        self.head = nn.Linear(32, classes)

    def forward(self, tokens):
        return self.head(torch.relu(self.hidden(self.embedding(tokens).flatten(1))))


@dataclass(frozen=True)
class PerceptronSpec:
    def build(self, *, vocabulary, length, classes, seed):
        with seeded(seed):
            return Perceptron(vocabulary, length, classes)


def test_a_users_own_module_in_their_place():
    specs = [
        tiny(model=PerceptronSpec(), updates=(Adam(),), seed=s, steps=200, lr=1e-2,
             record_every=200) for s in (0, 1)
    ]  # fmt: skip
    *_, last = train(Problem(specs, EAGER))
    assert (last.metrics["train_accuracy"] > 0.9).all()


def test_cadence():
    problem = Problem([TINY], EAGER)
    steps = [s.step for s in Trainer(problem).snapshots(At((3, 5)))]
    assert steps == [0, 3, 5, TINY.steps]
    with pytest.raises(ValueError, match="interval >= 1, got 0"):
        Every(0)
    with pytest.raises(ValueError, match="steps >= 0"):
        At((-1,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps >= 1, got 0"),
        ({"batch_size": -1}, "batch_size >= 1"),
        ({"lr": float("nan")}, "finite lr > 0"),
        ({"sampling": "shuffle"}, "got 'shuffle'"),
        ({"compute": "float16"}, "got 'float16'"),
        ({"updates": ()}, "at least one update"),
    ],
)
def test_impossible_specs_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        tiny(**change)


def test_runs_that_cannot_share_a_batch_are_refused():
    with pytest.raises(ValueError, match="run 1 differs from run 0"):
        Problem([TINY, tiny(steps=13)], EAGER)
    assert batch_key(TINY) == batch_key(tiny(seed=9, lr=0.1, updates=(WeightDecay(9.0), Adam())))
    assert batch_key(TINY) != batch_key(tiny(updates=(Adam(),)))
    assert batch_key(TINY) != batch_key(tiny(updates=(WeightDecay(0.1, on="qk"), Adam())))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Schedule("linear"), "'constant' or 'cosine', got 'linear'"),
        (lambda: Schedule(warmup=-1), "warmup >= 0"),
        (lambda: Schedule("cosine", warmup=5, total=5), "total=5 and warmup=5"),
        (lambda: Schedule(floor=2.0), "floor <= 1, got 2.0"),
        (lambda: Adam(beta1=1.0), "beta1 < 1.0, got 1.0"),
        (lambda: WeightDecay(-1.0), "strength < inf, got -1.0"),
        (lambda: ClipGradient(0.0), "norm < inf, got 0.0"),
        (lambda: SGD(momentum=float("nan")), "got nan"),
        (lambda: Execution(threads=0), "threads >= 1, got 0"),
        (
            lambda: Trainer(Problem([tiny(updates=(WeightDecay(1.0, on="kq"), Adam()))], EAGER)),
            "got 'kq'; closest: 'qk'",
        ),
        (lambda: Problem([], EAGER), "at least one run"),
    ],
)
def test_errors_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cosine_schedule_in_closed_form():
    schedule = Schedule("cosine", warmup=10, total=110, floor=0.2)
    assert schedule.factor(5) == 0.5
    assert schedule.factor(60) == pytest.approx(0.6)  # half way: the mean of 1 and the floor
    assert schedule.factor(110) == schedule.factor(500) == pytest.approx(0.2)
