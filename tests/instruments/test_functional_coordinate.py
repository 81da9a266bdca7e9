"""The search finds planted depth and planted waves without being told either."""

from math import pi

import pytest
import torch
from lookup_problem import PAD, LookupProblem, depths, gaussian, labelled, snapshots

from cases import EAGER
from spectraledge.instruments import FunctionalCoordinate, Observer, Window
from spectraledge.instruments.functional_coordinate import (
    _class_score,
    _joint_score,
    coordinate_measures,
)
from spectraledge.instruments.labelled_tokens import held_out_runs, run_representations
from spectraledge.linalg.ridge import standardised
from spectraledge.models import CausalDecoderSpec, PreNormEncoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import DyckDepth, ModularArithmetic
from spectraledge.training import Problem, RunSpec, Trainer
from spectraledge.updates import Adam, WeightDecay

WIDTH = 24


def bump(depth, classes=11):
    """Log-probabilities of a peak at the depth, as a model of depths has them."""
    return (-(depth[..., None] - torch.arange(classes).double()).square()).log_softmax(-1)


def test_planted_depth_is_found_beneath_louder_coordinates():
    depth = depths(80, 12)
    loud = gaussian(80, 12, 1, seed=3)
    h = depth[..., None] * gaussian(1, WIDTH, seed=1) + 20 * loud * gaussian(1, WIDTH, seed=2)
    tokens = labelled(h + 0.1 * gaussian(80, 12, WIDTH, seed=4), depth)
    found = coordinate_measures(tokens, bump(depth).flatten(0, 1), count=3)
    assert found["label_score"][0] > 0.98
    assert found["class_score"][0] > 0.98
    assert found["joint_label_score"] > 0.98
    # Outputs are curved in depth, so a line explains most of the first, not all.
    assert found["correlation"][0] > 0.9 > 0.4 > found["null_correlation"][0]
    assert found["output_share"][0] > 0.5
    # What is loud but moves no output is no coordinate of the outputs.
    loud_only = labelled(20 * loud * gaussian(1, WIDTH, seed=2), depth)
    nothing = coordinate_measures(loud_only, bump(depth).flatten(0, 1), count=1)
    assert nothing["correlation"][0].abs() < 2 * nothing["null_correlation"][0]


@pytest.mark.parametrize("method", ["reduced_rank", "canonical"])
def test_planted_waves_of_a_sum_are_found_with_their_frequencies(method):
    p, frequencies, sizes = 31, (4, 9), (3.0, 1.0)
    pair = torch.randint(p, (900, 2), generator=torch.Generator().manual_seed(0))
    sums = pair.sum(1, keepdim=True) % p

    def waves(number):
        angle = 2 * pi * number[..., None].double() * torch.tensor(frequencies).double() / p
        return torch.cat([angle.cos(), angle.sin()], -1)

    planes = torch.linalg.qr(gaussian(WIDTH, 4, seed=1))[0]
    noise = 0.1 * gaussian(900, 1, WIDTH, seed=2)
    # Waves of the first operand alone are as large, and say nothing of the outputs.
    other = torch.linalg.qr(gaussian(WIDTH, 4, seed=3))[0]
    h = waves(sums) @ planes.mT + waves(pair[:, :1]) @ other.mT + noise
    outputs = (waves(sums[:, 0]) * torch.tensor(sizes * 2)) @ waves(torch.arange(p)).mT
    found = coordinate_measures(labelled(h, sums), outputs, count=5, method=method)
    assert (found["correlation"][:4] > 0.9).all()
    assert (found["class_score"][:4] > 0.9).all()
    assert (found["label_score"][:4] < 0.3).all()
    assert found["correlation"][4].isnan()
    if method == "reduced_rank":
        # cos and sin of the larger wave first.
        assert found["peak"][:4].tolist() == [4, 4, 9, 9]
        assert (found["concentration"][:4] > 0.9).all()
    assert found["frequencies"].item() == (1 if method == "reduced_rank" else 2)


def test_one_module_of_two_runs_one_of_them_broken():
    tokens = depths(60, 12, below=6)[None].repeat(2, 1, 1)
    tokens[:, :, 10:] = PAD
    matrix = torch.zeros(2, 12, 12)
    matrix[0] = bump(torch.arange(12).double(), 12).float().mT
    matrix[1] = torch.nan
    instrument = FunctionalCoordinate(count=3, rows=60)
    observer = Observer([instrument], LookupProblem(tokens))
    (found,) = observer.observe(snapshots(matrix)[0]).values()
    assert found["correlation"].shape == (2, 1, 3)
    # The representation is the logits: all of it is predicted, d and d² of −(d − c)².
    assert (found["correlation"][0, 0, :2] > 0.95).all()
    assert (found["class_score"][0, 0, :2] > 0.999).all()
    assert found["correlation"][0, 0, 2].isnan()
    assert all(array[1].isnan().all() for array in found.values())


def test_rows_that_occur_in_training_are_left_out():
    tokens = depths(60, 12, below=6)[None]
    trained = torch.zeros(1, 60, dtype=torch.bool)
    trained[:, 30:] = True
    matrix = gaussian(1, 12, 12).float()
    instrument = FunctionalCoordinate(count=1)
    some, half = (
        instrument.measure(Window(tuple(snapshots(matrix)), problem))["correlation"]
        for problem in (LookupProblem(tokens, trained), LookupProblem(tokens[:, :30]))
    )
    assert torch.equal(some, half)


def test_errors():
    with pytest.raises(ValueError, match="unknown method for FunctionalCoordinate 'cca'"):
        FunctionalCoordinate(method="cca")
    with pytest.raises(ValueError, match="count, rows and shuffles >= 1, got 0, 300 and 20"):
        FunctionalCoordinate(count=0)
    with pytest.raises(ValueError, match="expected modulus=p"):
        FunctionalCoordinate(order="discrete_logarithm")
    with pytest.raises(ValueError, match=r"unknown order of classes .* 'log'"):
        FunctionalCoordinate(order="log")


def trained(task, model, steps, batch, lr=1e-3):
    spec = RunSpec(
        task=task, model=model, updates=(WeightDecay(1.0), Adam(beta2=0.98)), steps=steps,
        batch_size=batch, record_every=steps, lr=lr,
    )  # fmt: skip
    problem = Problem([spec], EAGER)
    return problem, list(Trainer(problem).snapshots())


def last(instrument, problem, snapshot: Snapshot):
    return {name: x[0] for name, x in instrument.measure(Window((snapshot,), problem)).items()}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_finds_depth_in_a_model_of_brackets():
    task = DyckDepth(pairs=8, train=400, held_out=600)
    model = CausalDecoderSpec(width=32, layers=2, heads=2, mlp_width=64, positions=16)
    problem, taken = trained(task, model, 800, 100)
    instrument = FunctionalCoordinate(modules=("blocks.1",), rows=400)
    start, end = (last(instrument, problem, s) for s in taken)
    assert (end["correlation"] > 0.9).all()
    assert (end["correlation"] > 2 * end["null_correlation"]).all()
    # Four coordinates that no label chose are functions of depth, and tell it: more than before
    # training, and than four random directions of the same representation.
    by_chance, together = random_coordinates(problem, taken[-1], rows=400)
    assert (end["class_score"][0] > by_chance.quantile(0.95)).all()
    assert (end["class_score"][0] > start["class_score"][0]).all()
    assert end["joint_label_score"].item() > together.quantile(0.95)
    assert end["joint_label_score"].item() > start["joint_label_score"].item()


def random_coordinates(problem, snapshot: Snapshot, rows: int, draws: int = 100):
    """Class scores and joint label scores of random directions of the last block."""
    own = next(held_out_runs(problem, rows))
    module = "blocks.1"
    theta = snapshot.parameters[0]
    found = run_representations(problem, snapshot.layout, theta, own.tokens, [module])[module]
    tokens = own.labelled(found).novel()
    (x,) = standardised(tokens.features)
    scores, together = [], []
    for seed in range(draws):
        z = x @ gaussian(x.shape[1], 4, seed=seed)
        scores += [_class_score(row, tokens.labels) for row in z.mT.contiguous()]
        together.append(_joint_score(z, tokens.labels))
    return torch.stack(scores), torch.stack(together)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_finds_few_frequencies_in_a_model_of_addition():
    task = ModularArithmetic(modulus=47, form="two_token", train_fraction=0.75)
    problem, taken = trained(task, PreNormEncoderSpec(), 4000, 512)
    instrument = FunctionalCoordinate(modules=("blocks.1",), rows=2000, count=8)
    start, end = (last(instrument, problem, s) for s in taken)
    # Before training 23 frequencies share the energy, afterwards a handful has 80 % of it.
    assert end["frequencies"].item() <= 6 < 12 < start["frequencies"].item()
    assert (end["class_score"][0, :6] > 0.9).all()
    assert (end["correlation"][0, :6] > 0.9).all()
