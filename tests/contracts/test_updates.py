"""What holds for every update, found by walking the package: add a file and it is asked for."""

import importlib
import pkgutil
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from functools import cache

import jaxtyping
import pytest
import torch

import spectraledge.updates as package
from cases import EAGER, TINY_MODEL, tiny
from spectraledge.store import canonical_json, from_canonical
from spectraledge.training import Problem, Trainer, batch_key, merge_states
from spectraledge.updates import (
    SGD,
    Adam,
    AntiLowRank,
    Basis,
    BoostParallel,
    CautiousWeightDecay,
    ClipGradient,
    Clock,
    During,
    EdgeBasis,
    Grokfast,
    HoldNorm,
    Hyperball,
    InitialBasis,
    InjectTail,
    Kick,
    LowRank,
    Muon,
    NormClamp,
    OrthogonalGradient,
    OrthogonalNoise,
    PastBasis,
    ProjectGradient,
    ProjectUpdate,
    RampStrength,
    RampStrengthAtEdge,
    RampStrengthAtEvent,
    RandomBasis,
    RandomDirection,
    RestartAt,
    ScaleGradient,
    SingularBasis,
    TrajectoryBasis,
    TruncateRank,
    Update,
    WeightDecay,
    chain,
    trajectories_from,
)

MODEL = replace(TINY_MODEL, layers=1)


def future(x: float) -> TrajectoryBasis:
    """Another reference run for every run of a batch."""
    run = tiny(model=MODEL, seed=round(10 * x), lr=1e-2, steps=3, record_every=1)
    return TrajectoryBasis(run, components=1)


# One recipe per variant; the number differs between the runs of a batch.
VARIANTS = {
    "Adam": lambda x: Adam(beta1=x),
    "AntiLowRank": lambda x: AntiLowRank(x, on="matrices"),
    "AntiLowRank-uncoupled": lambda x: AntiLowRank(x / 100, coupled=False),
    "BoostParallel": lambda x: BoostParallel(InitialBasis(), 1 + x),
    "CautiousWeightDecay": lambda x: CautiousWeightDecay(x),
    "ClipGradient": lambda x: ClipGradient(x / 10),
    "During-Grokfast": lambda x: During(Grokfast(x), 2, 4),
    "During-Hyperball": lambda x: During(Hyperball(x), 3),
    "During-LowRank": lambda x: During(LowRank(x), 3, 5),
    "During-OrthogonalNoise-past": lambda x: During(OrthogonalNoise(PastBasis(1, 1), x, 2), 3),
    "During-NormClamp": lambda x: During(NormClamp((0, 6), (1.0, x)), 3),
    "Grokfast": lambda x: Grokfast(x, 5 * x, on="not_qk"),
    "During-HoldNorm": lambda x: During(HoldNorm(1, on="matrices"), 3),
    "HoldNorm": lambda x: HoldNorm(10 * x - 1, on="matrices"),
    "Hyperball": lambda x: Hyperball(x, on="matrices"),
    "InjectTail": lambda x: InjectTail(3, 4, x, on="matrices"),
    "InjectTail-random": lambda x: InjectTail(3, 4, x, source="random"),
    "Kick": lambda x: Kick(SingularBasis(1, every=2), 100 * x, at=2, samples=2),
    "Kick-sustained": lambda x: Kick(future(x), 9 * x, 2, 3, "random", "constant"),
    "Kick-matched": lambda x: Kick(PastBasis(2, 1, 4), 9 * x, 3, 1, "random"),
    "LowRank": lambda x: LowRank(x, on="matrices"),
    "LowRank-svd": lambda x: LowRank(x / 10, "spectral", False, "svd", every=2, heads=2),
    "Muon": lambda x: Muon(x),
    "Muon-polar_express": lambda x: Muon(x, False, "match_rms", 6, "polar_express", "matrices"),
    "NormClamp": lambda x: NormClamp((0, 4), (1.0, x), on="matrices"),
    "OrthogonalGradient": lambda x: OrthogonalGradient(),
    "OrthogonalNoise": lambda x: OrthogonalNoise(RandomBasis(4), x, every=2),
    "ProjectGradient": lambda x: ProjectGradient(future(x), x),
    "ProjectGradient-penalty": lambda x: ProjectGradient(
        RandomBasis(3, ("query", "value"), round(10 * x)), x, "orthogonal", 2, True
    ),
    "ProjectUpdate": lambda x: ProjectUpdate(WeightDecay(x), PastBasis(2, 1, 4), x),
    "ProjectUpdate-edge": lambda x: ProjectUpdate(WeightDecay(x), EdgeBasis(1, 2, 1), x),
    "ProjectUpdate-Adam": lambda x: ProjectUpdate(Adam(x), future(x), x, "orthogonal"),
    "RampStrength": lambda x: RampStrength(LowRank(x, on="matrices"), 10 * x, 10 * x - 2, x, 1.0),
    "RampStrengthAtEdge": lambda x: RampStrengthAtEdge(
        WeightDecay(x), x / 10, EdgeBasis(1, 2, 1), duration=2
    ),
    "RampStrengthAtEvent": lambda x: RampStrengthAtEvent(
        WeightDecay(x), "weight_norm", 5.0, "above", 2, duration=2
    ),
    "RandomDirection": lambda x: RandomDirection(x, on="matrices"),
    "RandomDirection-kept": lambda x: RandomDirection(x / 100, fresh=False, coupled=False),
    "RestartAt": lambda x: RestartAt(Adam(beta1=x), 10 * x),
    "SGD": lambda x: SGD(momentum=x),
    "ScaleGradient": lambda x: ScaleGradient(x),
    "TruncateRank": lambda x: TruncateRank(3, 2, 5, on="matrices"),
    "TruncateRank-keep_norm": lambda x: TruncateRank(3, 2, keep_norm=True),
    "WeightDecay": lambda x: WeightDecay(x),
}
NUMBERS = (0.3, 0.6, 0.9)
STEPS, STOP = 6, 3
each = pytest.mark.parametrize("variant", VARIANTS)


@cache
def reference(run):
    """The snapshots of a reference run, as the laboratory would read them."""
    return list(Trainer(Problem([run], EAGER)).snapshots())


@pytest.fixture(autouse=True)
def _reference_runs():
    with trajectories_from(reference):
        yield


def every_update() -> list[type[Update]]:
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return [c for c in _below(Update) if c.__module__.startswith(package.__name__)]


def _below(kind: type[Update]) -> list[type[Update]]:
    """Concrete classes: those that others extend, such as `OnBasis`, are no updates themselves."""
    found = [c for child in kind.__subclasses__() for c in (child, *_below(child))]
    return [c for c in dict.fromkeys(found) if is_dataclass(c)]


def spec_types() -> list[type]:
    """Everything that may occur inside an update."""
    run = future(0.3).run
    inside = [type(value) for value in (run, run.task, run.model, run.schedule)]
    return [*every_update(), *Basis.__subclasses__(), *inside]


def with_optimizer(update: Update) -> tuple[Update, ...]:
    """A chain that trains: optimizers alone, gradient filters before Adam, the others after it."""
    if isinstance(update, Adam | SGD):
        return (update,)
    return (update, Adam()) if update.part in (None, "gradient") else (Adam(), update)


@cache
def problem(variant: str, runs: tuple[int, ...] = (0, 1, 2)) -> Problem:
    return Problem(
        [
            tiny(
                updates=with_optimizer(VARIANTS[variant](NUMBERS[run])),
                model=MODEL,
                seed=run,
                lr=1e-2,
                steps=STEPS,
                record_every=STOP,
            )
            for run in runs
        ],
        EAGER,
    )


@cache
def trained(variant: str, runs: tuple[int, ...] = (0, 1, 2)):
    """The finished trainer, its snapshots, and what was saved half way."""
    trainer = Trainer(problem(variant, runs), record_parts=True)
    snapshots, saved = [], []
    for snapshot in trainer.snapshots():
        snapshots.append(snapshot)
        if snapshot.step == STOP:
            saved = [trainer.state.tensors(run) for run in range(len(runs))]
    return trainer, snapshots, saved


def alone(variant: str, numbers=NUMBERS):
    """The update as the only link, on the parameters of three runs: chain, states, theta."""
    shared = problem(variant)
    theta = shared.initial_parameters()
    links, states = chain(
        [(VARIANTS[variant](x),) for x in numbers],
        theta,
        shared.layout,
        shared.groups,
        problem=shared,
    )
    return links, states, theta


def clock(index: int, active: torch.Tensor) -> Clock:
    return Clock(index, torch.tensor(float(index), dtype=torch.float64), 0.01 * active, active)


def slopes(theta: torch.Tensor, index: int) -> torch.Tensor:
    return torch.randn(theta.shape, generator=torch.Generator().manual_seed(index))


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.equal(first.view(torch.int32), second.view(torch.int32))


def inner(update: Update) -> Update:
    return inner(update.update) if hasattr(update, "update") else update


def test_every_update_is_exported_and_has_a_variant():
    kinds = every_update()
    assert {kind.__name__ for kind in kinds} <= set(package.__all__)
    assert set(kinds) == {type(make(0.5)) for make in VARIANTS.values()}


@each
def test_frozen_and_rebuilt_from_its_canonical_text(variant):
    update = VARIANTS[variant](0.5)
    name = fields(update)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(update, name, None)
    assert hash(update) == hash(replace(update))
    assert from_canonical(canonical_json(update), spec_types()) == update


@each
def test_runs_share_a_batch_and_do_not_notice(variant):
    """Stacked products run the same kernels matrix by matrix, so not a bit differs."""
    first, second, third = problem(variant).specs
    assert batch_key(first) == batch_key(second) == batch_key(third)
    together, snapshots, _ = trained(variant)
    assert bool(snapshots[-1].alive.all())
    mine, its = together.state.tensors(1), trained(variant, (1,))[0].state.tensors(0)
    assert mine.keys() == its.keys()
    assert not [name for name in mine if not torch.equal(mine[name], its[name])]


@each
def test_resumes_exactly_in_another_batch(variant):
    whole, _, saved = trained(variant)
    state = merge_states([saved[2], saved[0]], links=len(whole.chain.links))
    resumed = Trainer(problem(variant, (2, 0)), state=state)
    list(resumed.snapshots())
    for here, there in enumerate((2, 0)):
        ours, theirs = resumed.state.tensors(here), whole.state.tensors(there)
        assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


@each
def test_parts_sum_to_the_displacement(variant):
    trainer, (start, *snapshots), _ = trained(variant)
    names = {link.update.part for link in trainer.chain.links} - {None}
    before = start
    for after in snapshots:
        assert set(after.parts) == names
        moved = after.parameters.double() - before.parameters.double()
        # Each part adds exact float64 differences: a dozen float64 roundings.
        assert (moved - sum(after.parts.values())).abs().max() < 1e-14
        before = after
    assert all(snapshots[-1].parts[name].abs().max() > 0 for name in names - {"intervention"})


@each
def test_only_what_it_says_is_changed(variant):
    """A link without a part leaves parameters alone; one on a group, everything outside it."""
    update = inner(VARIANTS[variant](0.5))
    links, states, theta = alone(variant)
    groups, layout = problem(variant).groups, problem(variant).layout
    outside = ~layout.mask(groups[getattr(update, "on", "all")])
    start, moved, filtered = theta.clone(), False, False
    for index in range(1, STEPS + 1):
        gradient = slopes(theta, index)
        links.apply_(theta, gradient, states, clock(index, torch.ones(3, 1).double()), {})
        assert same_bits(gradient[:, outside], slopes(theta, index)[:, outside])
        filtered |= not torch.equal(gradient, slopes(theta, index))
        moved |= not torch.equal(theta, start)
    assert same_bits(theta[:, outside], start[:, outside])
    assert moved == (update.part is not None and not isinstance(update, NEEDS_A_STEP))
    assert filtered == (update.part is None or isinstance(update, Muon))


# These answer the optimizer's step and do nothing where there was none; or decay by it.
NEEDS_A_STEP = (HoldNorm, Hyperball)


@each
def test_a_diverged_run_stays_and_does_not_touch_the_others(variant):
    """Even infinite weights, on which decompositions fail and 0 times which is NaN."""
    results = []
    for broken in (False, True):
        links, states, theta = alone(variant)
        active = torch.tensor([[1.0], [0.0 if broken else 1.0], [1.0]]).double()
        if broken:
            theta[1, ::3], theta[1, 1::3], theta[1, 2::6] = torch.inf, torch.nan, -0.0
        start = theta[1].clone()
        for index in range(1, STEPS + 1):
            gradient = slopes(theta, index) * active.float()
            links.apply_(theta, gradient, states, clock(index, active), {})
            theta[active[:, 0] > 0] -= 1e-3 * gradient[active[:, 0] > 0]
            assert bool(gradient.isfinite().all())
        assert not broken or same_bits(theta[1], start)
        results.append(theta[[0, 2]])
    assert same_bits(*results)


STRENGTHS = ("strength", "amplification", "scale", "size")


def with_field(update: Update, name: str, value: object) -> Update:
    if hasattr(update, "update"):
        return replace(update, update=with_field(update.update, name, value))
    return replace(update, **{name: value})


def having(name: str, kind: type) -> list[str]:
    """Variants with a field of that name and type."""
    return [
        v for v, make in VARIANTS.items() if isinstance(getattr(inner(make(0.5)), name, 0), kind)
    ]


WITH_STRENGTH = [(v, name) for name in STRENGTHS for v in having(name, float)]


@pytest.mark.parametrize(("variant", "strength"), WITH_STRENGTH)
def test_strength_zero_leaves_every_bit_alone(variant, strength):
    still = with_field(VARIANTS[variant](0.5), strength, 0.0)
    shared = problem(variant)
    theta = shared.initial_parameters()
    start = theta.clone()
    links, states = chain([(still,)] * 3, theta, shared.layout, shared.groups, problem=shared)
    for index in range(1, STEPS + 1):
        gradient = slopes(theta, index)
        links.apply_(theta, gradient, states, clock(index, torch.ones(3, 1).double()), {})
        assert same_bits(gradient, slopes(theta, index))
    assert same_bits(theta, start)


TRACEABLE = [name for name, make in VARIANTS.items() if make(0.5).compiled]


@pytest.mark.parametrize("variant", TRACEABLE)
def test_compiled_means_traceable_without_a_break(variant, monkeypatch):
    def trace(function):
        return torch.compile(function, fullgraph=True, dynamic=False, backend="eager")

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # its wrappers do not trace
    torch.compiler.reset()  # every variant compiles the same function, of which few are kept
    shared, results = problem(variant), []
    for compile in (lambda function: function, trace):
        theta = shared.initial_parameters()
        recipes = [(VARIANTS[variant](x),) for x in NUMBERS]
        links, states = chain(recipes, theta, shared.layout, shared.groups, compile)
        for index in (1, 2):
            gradient = slopes(theta, index)
            links.apply_(theta, gradient, states, clock(index, torch.ones(3, 1).double()), {})
        results.append(torch.cat([theta, gradient]))
    assert same_bits(*results)


@pytest.mark.parametrize("variant", having("on", str))
def test_an_unknown_group_is_named(variant):
    lost = with_field(VARIANTS[variant](0.5), "on", "kq")
    shared = problem(variant)
    theta = shared.initial_parameters()
    with pytest.raises(ValueError, match=f"{type(inner(lost)).__name__}: expected on .* got 'kq'"):
        chain([(lost,)] * 3, theta, shared.layout, shared.groups)
