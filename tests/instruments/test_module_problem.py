"""Any module as a problem: the numbers of our own problem, and nothing of the module changes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cases import EAGER, TINY_MODEL, tiny
from spectraledge import ModuleProblem as PublicModuleProblem
from spectraledge.instruments import (
    Ablation,
    AttentionStructure,
    CommutatorDefect,
    Curvature,
    CurvatureAlignment,
    DepthComposition,
    EdgeImportance,
    FunctionalCoordinate,
    FunctionalResponse,
    GapFlow,
    InputProbe,
    LogitResponse,
    ModuleProblem,
    Observer,
    PartEffect,
    PerturbationCurve,
    PositionalFourier,
    Probe,
    RepresentationProbe,
    ScaleInvariance,
    SingularProbe,
    SpectralEdge,
    StructureCurve,
    SubspaceProjection,
    instrument_key,
)
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import flatten_parameters
from spectraledge.tasks import UNLABELLED, DyckDepth
from spectraledge.training import Problem, RunSpec, Trainer
from spectraledge.updates import Adam, WeightDecay

SYMBOLS, LENGTH = 7, 5
EVALUATING = [
    Ablation(rows=12, draws=2),
    AttentionStructure(rows=12),
    CommutatorDefect(pairs=2),
    Curvature(iterations=3, eigenvalues=1, batches=1),
    CurvatureAlignment(pairs=2),
    DepthComposition(rows=12),
    EdgeImportance(rows=12, directions=1, batches=1),
    FunctionalCoordinate(rows=40, shuffles=2),
    FunctionalResponse(rows=12, window=2, count=2, module="blocks.0"),
    GapFlow(window=2, gaps=1, batches=2),
    InputProbe(rows=12),
    LogitResponse(rows=12),
    PartEffect(rows=12),
    PerturbationCurve(rows=12, points=3, directions=1, random=1),
    PositionalFourier(rows=12),
    RepresentationProbe(rows=12, readers=("linear",), seeds=1),
    ScaleInvariance(examples=8),
    SingularProbe(rows=12, seeds=1),
    StructureCurve(rows=12, points=3, directions=1),
    SubspaceProjection(pairs=2),
]


class Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x, mask):
        self.calls += 1
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x + self.dropout(self.proj(mixed.transpose(1, 2).flatten(2)))


class Foreign(nn.Module):
    """Fused projections, dropout, batch norm, a frozen and a tied weight; returns a mapping."""

    def __init__(self, width: int = 8, dropout: float = 0.1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(SYMBOLS, width)
        self.places = nn.Parameter(torch.randn(LENGTH, width), requires_grad=False)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(2))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, SYMBOLS, bias=False)
        self.head.weight = self.embedding.weight
        mask = torch.full((LENGTH, LENGTH), -torch.inf).triu(1)
        self.register_buffer("mask", mask)

    def forward(self, input_ids, *, scale):
        x = self.embedding(input_ids) + self.places
        for block in self.blocks:
            x = block(x, self.mask)
        return {"logits": scale * self.head(self.norm(x.mT).mT)}


def logits_of(model, tokens):
    return model(tokens, scale=2.0)["logits"]


def rows_of(count: int, seed: int):
    chance = torch.Generator().manual_seed(seed)
    tokens = torch.randint(SYMBOLS, (count, LENGTH), generator=chance)
    labels = tokens.cumsum(1) % SYMBOLS
    labels[:, 0] = UNLABELLED
    return tokens, labels


TRAIN, HELD_OUT = rows_of(40, 0), rows_of(16, 1)


def foreign_problem(model, **changes) -> ModuleProblem:
    given = {"train": TRAIN, "held_out": HELD_OUT, "forward": logits_of, "batch_size": 10}
    return ModuleProblem(model, **given | changes)


def foreign_loop(steps: int, probe_of=None):
    """Somebody's training; returns the probe, and all that measuring might have touched."""
    torch.manual_seed(0)
    model = Foreign()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.1)
    model.blocks[1].eval()  # a mode that is not that of the whole
    probe = probe_of(model, optimizer) if probe_of else None
    seen = []
    for step in range(steps):
        loss = F.cross_entropy(logits_of(model, TRAIN[0]).flatten(0, 1), TRAIN[1].flatten())
        optimizer.zero_grad()
        loss.backward()
        if probe:
            probe.step(step)
        gradients = [p.grad if p.grad is None else p.grad.clone() for p in model.parameters()]
        modes = [m.training for m in model.modules()]
        state = copy.deepcopy(model.state_dict())
        flags = [p.requires_grad for p in model.parameters()]
        seen.append((state, gradients, modes, flags, torch.get_rng_state()))
        optimizer.step()
    return probe, seen


def same(first, second) -> bool:
    """Equal bit for bit, in nested containers."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)):
        return all(same(a, b) for a, b in zip(first, second, strict=True))
    return first == second


# ---- our own models ----


def decoder_spec() -> RunSpec:
    return RunSpec(
        task=DyckDepth(pairs=5, train=20, held_out=36),
        model=CausalDecoderSpec(width=8, heads=2, mlp_width=8, layers=1, positions=10),
        updates=(WeightDecay(0.1), Adam()),
        lr=1e-2,
        batch_size=8,
        steps=4,
        record_every=2,
    )


def reader_spec() -> RunSpec:
    return tiny(model=replace(TINY_MODEL, layers=1), steps=4, record_every=2, lr=1e-2)


@pytest.fixture(scope="module", params=[decoder_spec, reader_spec])
def own(request):
    """Snapshots of our training, its problem, and its model as somebody else's with equal rows."""
    spec = request.param()
    reference = Problem([spec], EAGER)
    task, data = spec.task, spec.task.dataset(spec.data_seed)
    sizes = {"vocabulary": task.vocabulary, "length": task.length, "classes": task.classes}
    model = spec.model.build(**sizes, seed=spec.seed)
    tokens, labels = (x[0] for x in reference.held_out(1000))
    problem = ModuleProblem(
        model,
        train=(data.tokens[data.train], data.labels[data.train]),
        held_out=(tokens, labels),
        initial=model.state_dict(),
    )
    problem.batch = reference.batch
    return list(Trainer(reference, record_parts=True).snapshots()), reference, problem


@pytest.mark.parametrize("instrument", EVALUATING, ids=lambda i: i.name)
def test_every_instrument_gives_what_our_own_problem_gives(own, instrument):
    snapshots, reference, problem = own
    key = instrument_key(instrument)
    expected, got = (Observer([instrument], p) for p in (reference, problem))
    # One is enough for what looks at one.
    for snapshot in snapshots[-1:] if instrument.history == 1 else snapshots:
        want, have = (o.observe(snapshot)[key] for o in (expected, got))
        for name in want:
            torch.testing.assert_close(
                have[name], want[name], rtol=2e-4, atol=1e-5, equal_nan=True, msg=name
            )
    assert any(bool(array.isfinite().any()) for array in have.values())


def test_all_instruments_that_evaluate_are_here():
    from contracts.test_instruments import KINDS

    assert {type(i) for i in EVALUATING} == {kind for kind in KINDS if kind.needs_problem}


# ---- somebody else's model ----


def test_it_measures_any_model_and_disturbs_nothing():
    instruments = [SpectralEdge(window=3), *EVALUATING]

    def probe_of(model, optimizer):
        problem = foreign_problem(model, initial=model.state_dict())
        return Probe(model, instruments, every=1, optimizer=optimizer, problem=problem)

    probe, watched = foreign_loop(5, probe_of)
    _, alone = foreign_loop(5)
    assert same(watched, alone)
    # Its tokens are no brackets, and so few random removals cost nothing to compare with.
    absent = {
        "depth_composition": {"published_score", "score"},
        "ablation": {"edge_over_matched"},
    }
    for instrument in instruments:
        reading = probe.readings[instrument_key(instrument)]
        for name in instrument.outputs.keys() - absent.get(instrument.name, set()):
            assert np.isfinite(reading[name][-1]).any(), (instrument.name, name)
    assert probe.labels[instrument_key(EVALUATING[0])]


def test_saved_checkpoints_give_what_the_live_run_gives():
    instruments = [Ablation(rows=12, draws=2), FunctionalResponse(rows=12, module="blocks.0")]
    instruments += [AttentionStructure(rows=12), PerturbationCurve(rows=12, points=3)]

    def probe_of(model, optimizer=None):
        return Probe(model, instruments, every=1, problem=foreign_problem(model))

    live, seen = foreign_loop(3, probe_of)
    model = Foreign()
    saved = probe_of(model)
    for step, (state, *_) in enumerate(seen):
        model.load_state_dict(state)
        saved.step(step)
    for key, reading in live.readings.items():
        for name, array in reading.items():
            np.testing.assert_array_equal(array, saved.readings[key][name], err_msg=name)


def precise_model() -> Foreign:
    torch.manual_seed(1)
    model = Foreign().double()
    model.norm.running_mean += 0.3
    return model


def test_logits_loss_and_gradient_are_those_of_the_module_in_eval_mode():
    model = precise_model()
    problem = foreign_problem(model)
    theta = flatten_parameters(model)[None]
    tokens, labels = problem.batch(3, "other")
    gradient, loss, accuracy = problem.gradient(theta, tokens, labels)
    model.eval().requires_grad_()
    logits = logits_of(model, tokens[0])
    torch.testing.assert_close(problem.logits(theta, tokens)[0], logits.detach())
    wanted = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(loss, wanted[None].detach())
    # Each output that has a label counts once; the first of every row has none.
    right = (logits.argmax(-1) == labels[0])[:, 1:].double().mean()
    assert accuracy.item() == pytest.approx(right.item())
    wanted.backward()
    own = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(gradient[0], own)


def test_hessian_products_are_differences_of_gradients():
    model = precise_model()
    problem = foreign_problem(model)
    theta, batch = flatten_parameters(model)[None], problem.held_out(6)
    vectors = torch.randn(1, 2, theta.shape[1], dtype=torch.float64)
    got = problem.hessian_vector(theta, *batch, vectors)
    step = 1e-5
    for k in range(2):
        ends = [problem.gradient(theta + s * step * vectors[:, k], *batch)[0] for s in (1, -1)]
        wanted = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(got[:, k], wanted, rtol=1e-5, atol=1e-7)


def test_a_single_precision_model_is_measured_in_double_where_instruments_ask_for_it():
    """Its buffers, of a mask and a batch norm, have to follow."""
    model, precise = Foreign(), precise_model()
    model.load_state_dict(precise.float().state_dict())
    precise = precise.double()
    theta = flatten_parameters(model)[None].double()
    tokens = HELD_OUT[0][None]
    got = foreign_problem(model).logits(theta, tokens)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, foreign_problem(precise).logits(theta, tokens))
    assert model.mask.dtype == model.norm.running_mean.dtype == torch.float32


class Careless(nn.Module):
    """Casts and constants of a fixed precision, a cache, a counter, and a mode of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, SYMBOLS)
        self.cache = None
        self.calls = 0

    def eval(self):
        raise AssertionError

    def forward(self, tokens):
        self.calls += 1
        x = F.one_hot(tokens, 8).float()
        if self.cache is None:
            self.cache = torch.linspace(0, 1, 8) * x.new_ones(1)
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        x = self.attention(x * self.cache, src_mask=mask)
        return self.head(F.layer_norm(x.float(), (8,)).to(torch.float32))


def test_double_precision_reaches_what_a_model_makes_on_the_way_and_leaves_no_trace():
    model = Careless()
    problem = ModuleProblem(model, train=TRAIN, held_out=HELD_OUT)
    theta = flatten_parameters(model)[None]
    tokens = problem.held_out(12)[0]
    precise = problem.logits(theta.double(), tokens)
    assert precise.dtype == torch.float64
    torch.testing.assert_close(precise.float(), problem.logits(theta, tokens))
    assert not torch.equal(precise, precise.float())
    assert model.cache is None
    assert model.calls == 0
    assert model.training
    instruments = [AttentionStructure(rows=12), FunctionalResponse(rows=12, module="attention")]
    probe = Probe(model, instruments, problem=problem)
    probe.step(0)
    assert all(np.isfinite(list(r.values())[1]).any() for r in probe.readings.values())


def test_half_precision_logits_are_widened():
    model = Foreign().bfloat16()
    logits = foreign_problem(model).logits(flatten_parameters(model)[None], HELD_OUT[0][None])
    assert logits.dtype == torch.float32


def test_a_diverged_model_is_nan_and_no_error():
    model = Foreign()
    problem = foreign_problem(model)
    fields = {"window": 2, "rows": 12}
    instruments = [
        GapFlow(window=2, gaps=1, batches=2),
        PerturbationCurve(**fields, points=3, directions=1),
        Ablation(rows=12, draws=2),
        RepresentationProbe(rows=12, readers=("linear",)),
    ]
    probe = Probe(model, instruments, every=1, problem=problem)
    for step in range(3):
        probe.step(step)
        with torch.no_grad():
            model.blocks[0].qkv.weight *= torch.nan if step else 1.1
    assert np.isnan(probe.readings[instrument_key(instruments[0])]["curvature"][-1]).all()
    assert np.isnan(probe.readings[instrument_key(instruments[1])]["loss"][-1]).all()


def test_batches_are_a_function_of_step_and_salt():
    model = Foreign()
    problem, again = foreign_problem(model), foreign_problem(model)
    before = torch.get_rng_state()
    assert same(problem.batch(7, "a"), again.batch(7, "a"))
    assert not same(problem.batch(7, "a"), problem.batch(7, "b"))
    assert not same(problem.batch(7, "a"), problem.batch(11, "a"))
    assert torch.equal(torch.get_rng_state(), before)
    epoch = torch.cat([problem.batch(step, "a")[0][0] for step in range(4)])
    assert sorted(epoch.tolist()) == sorted(TRAIN[0].tolist())
    assert foreign_problem(model, batch_size=None).batch(0)[0].shape == (1, 20, LENGTH)


def test_a_loader_is_read_once_and_leaves_random_numbers_alone():
    loader = DataLoader(TensorDataset(*TRAIN), batch_size=16, shuffle=False)
    model = Foreign()
    before = torch.get_rng_state()
    problem = foreign_problem(model, train=loader)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(problem.batch(3), foreign_problem(model).batch(3))


def test_rows_that_are_trained_on_are_known():
    model = Foreign()
    held_out = [tuple(x[:3] for x in HELD_OUT), tuple(x[5:7] for x in TRAIN)]
    problem = foreign_problem(model, held_out=held_out)
    trained = problem.occurs_in_training(problem.held_out(9)[0])
    assert trained.tolist() == [[False, False, False, True, True]]
    assert not problem.occurs_in_training(torch.zeros(1, 2, LENGTH + 1, dtype=torch.int64)).any()


def test_other_inputs_are_looked_up_by_number():
    """A network on images, in which nothing is an attention matrix."""
    torch.manual_seed(0)
    images, labels = torch.randn(60, 3, 4), torch.arange(60) % 3
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    numbers = torch.arange(60)[:, None]
    problem = ModuleProblem(
        model,
        train=(numbers[:40], labels[:40]),
        held_out=(numbers[40:], labels[40:]),
        forward=lambda model, rows: model(images[rows[:, 0]]),
    )
    instruments = [
        Ablation(kinds=(), draws=2),
        GapFlow(kinds=(), window=2, gaps=1),
        RepresentationProbe(modules=("1", "2"), readers=("linear",), categorical=True),
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    probe = Probe(model, instruments, every=1, optimizer=optimizer, problem=problem)
    for step in range(4):
        probe.step(step)
        optimizer.zero_grad()
        F.cross_entropy(model(images[:40]), labels[:40]).backward()
        optimizer.step()
    reading = {key.split("(")[0]: value for key, value in probe.readings.items()}
    whole = F.cross_entropy(model(images[40:]), labels[40:])
    assert reading["ablation"]["loss"][-1] == pytest.approx(whole.item(), abs=0.1)
    assert np.isfinite(reading["gap_flow"]["driving_term"][-1]).all()
    assert np.isfinite(reading["representation_probe"]["score"]).all()


def test_the_untrained_network_is_the_one_that_is_said():
    model = Foreign()
    start = copy.deepcopy(model.state_dict())
    problem = foreign_problem(model, initial=model.state_dict())
    with torch.no_grad():
        model.places += 1
    expected = torch.cat([start[name].flatten() for name, _ in model.named_parameters()])
    assert torch.equal(problem.initial_parameters(), expected[None])
    assert foreign_problem(model).initial_parameters() is None
    probe = Probe(
        model, [RepresentationProbe(rows=9, readers=("linear",))], problem=foreign_problem(model)
    )
    probe.step(0)
    (reading,) = probe.readings.values()
    assert np.isnan(reading["untrained"]).all()
    assert np.isfinite(reading["score"]).all()


def test_a_position_is_read_where_a_row_has_one_label():
    class Pooled(Foreign):
        def forward(self, tokens):
            return super().forward(tokens, scale=1.0)["logits"][:, 0]

    tokens, labels = HELD_OUT[0], HELD_OUT[0][:, 0]
    for given, place in ((None, -1), (0, 0)):
        problem = ModuleProblem(
            Pooled(), train=(tokens, labels), held_out=(tokens, labels), read_out_position=given
        )
        assert problem.skeleton.read_out_position == place


# ---- what goes wrong ----


class Drawing(Foreign):
    def forward(self, tokens, *, scale):
        logits = super().forward(tokens, scale=scale)["logits"]
        return {"logits": logits + torch.rand(())}


TOKENS, LABELS = TRAIN
BAD_ROWS = {
    "one a row or one for each": (TOKENS, LABELS[:5]),
    r"integer labels \(40,\) or \(40, L\)": (TOKENS, LABELS[..., None]),
    "got torch.float32 .40, 5.; for other inputs": (TOKENS.float(), LABELS),
    "at least one row, got none in 0": [],
    "at least one row, got none in 1": (TOKENS[:0], LABELS[:0]),
    "two tensors, got dict; of mappings": [{"input_ids": TOKENS, "labels": LABELS}],
    "one shape in all batches, got .*4.*5": [(TOKENS, LABELS), (TOKENS[:, :4], LABELS[:, :4])],
    "a label in every row, got none in rows .2.": (
        TOKENS,
        LABELS.index_fill(0, torch.tensor(2), UNLABELLED),
    ),
    r"labels in 0..6, .* got 0..7": (TOKENS, LABELS.where(LABELS != 6, 7)),
    r"logits \(2, classes\) for labels \(2,\), got \(2, 5, 7\).*\[:, -1\]": (TOKENS, LABELS[:, 1]),
    r"fails on the first rows \(IndexError": (TOKENS + 100, LABELS),
}


@pytest.mark.parametrize("where", ["train", "held_out"])
@pytest.mark.parametrize("message", BAD_ROWS)
def test_rows_that_cannot_be_used(message, where):
    with pytest.raises(ValueError, match=rf"ModuleProblem\({where}=...\): .*{message}"):
        foreign_problem(Foreign(), **{where: BAD_ROWS[message]})


BAD_MODELS = {
    "tensor of floats, got dict; pass forward=": {"forward": lambda m, x: m(x, scale=1.0)},
    "fails on the first rows .TypeError.*scale": {"forward": None},
    "tensor of floats, got torch.int64": {"forward": lambda m, x: x},
    r"got \(2, 7\); pass a forward": {"forward": lambda m, x: logits_of(m, x)[:, -1]},
    "expected finite logits, got 70 of 70": {"forward": lambda m, x: logits_of(m, x) / 0 * 0},
    "batch_size in 1..40, the rows of train, got 41": {"batch_size": 41},
    r"initial\['places'\] of shape \(5, 8\), got None": {"initial": {}},
}


@pytest.mark.parametrize("message", BAD_MODELS)
def test_models_that_cannot_be_used(message):
    with pytest.raises(ValueError, match=message):
        foreign_problem(Foreign(), **BAD_MODELS[message])


def test_random_logits_are_refused_and_taken_back():
    model, before = Drawing(), torch.get_rng_state()
    with pytest.raises(ValueError, match="draws random numbers in eval mode"):
        foreign_problem(model)
    # Building the model drew numbers as well, and came first.
    assert torch.equal(torch.get_rng_state(), before)


def test_what_follows_an_error_in_the_model_is_as_before():
    model = Foreign()
    model.blocks[1].eval()
    before = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    problem = foreign_problem(model)
    theta = flatten_parameters(model)[None]
    with pytest.raises(IndexError):
        problem.logits(2 * theta, HELD_OUT[0][None] + 100)
    assert same(before, (model.state_dict(), [m.training for m in model.modules()]))


def test_errors_of_the_problem():
    model = Foreign()
    problem = foreign_problem(model, forward=lambda m, x: logits_of(m, x).detach())
    theta = flatten_parameters(model)[None]
    with pytest.raises(ValueError, match="depends on the parameters; leave out detach"):
        problem.gradient(theta, *problem.batch(0))
    with pytest.raises(ValueError, match="expected rows >= 1, got 0"):
        problem.held_out(0)
    with pytest.raises(ValueError, match=rf"expected {theta.shape[1]} parameters, got \(3,\)"):
        problem.logits(torch.zeros(1, 3), HELD_OUT[0][None])
    with pytest.raises(ValueError, match="a module with parameters"):
        ModuleProblem(nn.Identity(), train=TRAIN, held_out=HELD_OUT)
    with pytest.raises(ValueError, match=r"needs a problem; .*ModuleProblem\(model"):
        Probe(model, [Ablation()])
    assert PublicModuleProblem is ModuleProblem


class Flat(nn.Module):
    """A network without numbered blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(LENGTH, SYMBOLS)

    def forward(self, tokens):
        return self.inner(tokens.float())


@pytest.mark.parametrize(
    ("model", "instrument", "message"),
    [
        (Foreign, FunctionalResponse(), r"module=...\) 'final_norm'; known: .*blocks.0, .*norm"),
        (Foreign, InputProbe(modules=("block",)), "module 'block'; known: embedding, blocks, "),
        (Flat, RepresentationProbe(), "RepresentationProbe: expected modules by name.*inner hold"),
        (Flat, FunctionalCoordinate(), "FunctionalCoordinate: expected modules by name"),
        (Flat, DepthComposition(), "DepthComposition: expected modules by name"),
        (Flat, PositionalFourier(), "PositionalFourier: expected modules by name"),
        (Flat, Ablation(), "this model has .*inner"),
    ],
)
def test_what_a_model_lacks_is_named(model, instrument, message):
    own = model()
    rows = TRAIN[0], TRAIN[1][:, -1]
    given = {"train": rows, "held_out": rows} if model is Flat else {}
    problem = ModuleProblem(own, **given) if given else foreign_problem(own)
    with pytest.raises(ValueError, match=message):
        Probe(own, [instrument], problem=problem).step(0)
