import math

import pytest
import torch

from cases import EAGER, tiny
from spectraledge.instruments import DecayGeometry, Observer
from spectraledge.instruments.decay_geometry import displacement
from spectraledge.instruments.low_rank_balance import overshoots, turns
from spectraledge.linalg import nuclear_rank, polar_factor, soft_threshold_singular_values
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, LowRank, WeightDecay

QUERY = DecayGeometry(("query",))


def window(before, now, steps, lr=None, **parts) -> list[Snapshot]:
    """Two snapshots of one run with one query matrix."""
    layout = Layout(("a.query.weight",), (tuple(before.shape),))
    rate = None if lr is None else torch.tensor([lr], dtype=torch.float64)
    flat = {name: part.double().reshape(1, -1) for name, part in parts.items()}
    return [
        Snapshot(0, layout, before.reshape(1, -1)),
        Snapshot(steps, layout, now.reshape(1, -1), parts=flat, lr=rate),
    ]


def measure(snapshots) -> dict[str, torch.Tensor]:
    """Reading of the last snapshot, without run and matrix axes: 0-d, or one entry per part."""
    observer = Observer([QUERY])
    readings = [observer.observe(s)[next(iter(observer.instruments))] for s in snapshots]
    return {name: array[0, ..., 0] for name, array in readings[-1].items()}


def gaussian(*shape, seed=0) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=chance, dtype=torch.float64)


def test_pure_weight_decay_is_radial():
    W, steps, keep = gaussian(6, 4), 10, 0.99
    now = W * keep**steps
    reading = measure(window(W, now, steps, weight_decay=now - W))
    radial, tangential, fraction = (
        reading[name] for name in ("radial", "tangential", "tangential_fraction")
    )
    # The logarithmic rate in the midpoint rule: 2 tanh(x/2) for a norm that fell by exp(-x).
    expected = 2 * math.tanh(steps * math.log(keep) / 2) / steps
    assert radial.tolist() == pytest.approx([0.0, expected, 0.0], rel=1e-12)
    assert tangential.tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-15)  # float64 rounding
    assert fraction[1].item() < 1e-14
    assert fraction[[0, 2]].isnan().all()  # no gradient and no low-rank part: 0/0
    assert reading["angular_step"].item() < 1e-8  # eps^(1/2) at worst, of two roundings of W
    # Without low-rank decay its amount is zero, and what is measured in its unit has no value.
    assert reading["amount"].item() == 0.0
    assert reading["rank"].item() == 4.0
    for name in ("subdifferential_distance", "regrow_margin", "overshoot_polar"):
        assert reading[name].isnan(), name


def test_weight_decay_is_radial_where_the_matrix_turns():
    """On an arc the sum of the momentary W points at the midpoint; at the start it would not."""
    first, second = torch.eye(2, dtype=torch.float64)[:, None, :]
    angles = torch.linspace(0, 1, 101, dtype=torch.float64)
    path = [torch.cos(a) * first + torch.sin(a) * second for a in angles]
    decay = -0.001 * sum(path)
    middle = displacement(decay, path[0], path[-1], steps=100)
    start = displacement(decay, path[0], path[0], steps=100)
    assert middle["tangential_fraction"].item() < 1e-14  # float64 rounding of 101 terms
    assert start["tangential_fraction"].item() > 0.4  # sin(1/2)


def test_pure_low_rank_decay_has_a_known_amount_and_turn():
    W, tau, steps = gaussian(12, 8), 0.03, 20
    now = W
    for _ in range(steps):
        now = soft_threshold_singular_values(now, tau)
    reading = measure(window(W, now, steps, low_rank=now - W))
    values, left = torch.linalg.svdvals(W), torch.linalg.svdvals(now)
    assert left.min() > 0
    assert reading["amount"].item() == pytest.approx(tau, rel=1e-12)
    assert reading["relative_amount"].item() == pytest.approx(tau / left[0].item(), rel=1e-12)
    # Singular vectors stand still, so angles are those between the vectors of singular values.
    cosine = (values @ left / values.norm() / left.norm()).item()
    assert reading["angular_step"].item() == pytest.approx(math.acos(cosine) / steps, rel=1e-9)
    middle = (values + left) / 2
    inner = ((left - values) @ middle / middle.norm() ** 2).item()
    assert reading["radial"][2].item() == pytest.approx(inner / steps, rel=1e-12)
    across = ((left - values) - inner * middle).norm() / middle.norm() / steps
    assert reading["tangential"][2].item() == pytest.approx(across.item(), rel=1e-10)
    # All values lost the same: the part is a multiple of the polar factor of the midpoint.
    law = math.sqrt(1 - nuclear_rank(singular_values=middle).item() / 8)
    assert reading["tangential_fraction"][2].item() == pytest.approx(law, rel=1e-10)
    assert reading["radial"][:2].tolist() == [0.0, 0.0]


def test_effective_learning_rates():
    W = torch.full((3, 5), 2.0)  # F^2 = 60, rms 2
    reading = measure(window(W, W, 1, lr=0.3, gradient=torch.zeros(3, 5)))
    assert reading["sgd_effective_rate"].item() == pytest.approx(0.3 / 60, rel=1e-14)
    assert reading["adam_effective_rate"].item() == pytest.approx(0.3 / 2, rel=1e-14)


def test_an_adam_sized_step_turns_by_the_adam_rate():
    """Entries of size lr, at right angles to W, turn it by lr/rms(W) to first order."""
    W = torch.ones(4, 4, dtype=torch.float64)
    step = 1e-4 * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(4, 2)
    reading = measure(window(W, W + step, 1, lr=1e-4, gradient=step))
    # The next order of the angle is its cube.
    assert reading["angular_step"].item() == pytest.approx(
        reading["adam_effective_rate"].item(), rel=1e-7
    )


def planted(values, size=5, seed=3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    U = torch.linalg.qr(gaussian(size, size, seed=seed)).Q
    V = torch.linalg.qr(gaussian(size, size, seed=seed + 1)).Q
    S = torch.zeros(size, dtype=torch.float64)
    S[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return U, (U * S) @ V.mT, V


def test_the_fan_opens_as_rank_falls():
    _, W, _ = planted([2.0, 1.0])
    tau = 0.01
    reading = measure(window(W, W, 1, low_rank=-tau * polar_factor(W)))
    got = [reading[n].item() for n in ("rank", "fan_dimension", "fan_fraction", "fan_diameter")]
    assert got == pytest.approx([2, 9, 9 / 25, 2 * math.sqrt(3)], rel=1e-14)


@pytest.mark.parametrize("open_part", [0.0, 0.9, 1.1])
def test_balance_at_a_planted_fixed_point(open_part):
    """Base step tau (U_r V_r' + z u v'), u and v in the null block: prox fixed iff z <= 1."""
    U, W, V = planted([2.0, 1.0])
    tau, steps = 0.01, 7
    base = tau * (U[:, :2] @ V[:, :2].mT + open_part * torch.outer(U[:, 3], V[:, 4]))
    after = soft_threshold_singular_values(W + base, tau)
    fixed = torch.allclose(after, W, rtol=0, atol=1e-12)
    assert fixed == (open_part <= 1)
    low_rank = -tau * U[:, :2] @ V[:, :2].mT  # of norm tau: what the decay took back
    reading = measure(window(W, W, steps, gradient=steps * base, low_rank=steps * low_rank))
    assert reading["amount"].item() == pytest.approx(tau, rel=1e-12)
    assert reading["regrow_margin"].item() == pytest.approx(open_part, abs=1e-12)
    assert reading["subdifferential_distance"].item() == pytest.approx(
        max(open_part - 1, 0), abs=1e-12
    )
    assert reading["tangent_alignment"].item() == pytest.approx(
        math.sqrt(2 / (2 + open_part**2)), rel=1e-12
    )


def test_on_the_sphere_a_radial_base_step_is_no_obstacle():
    """Adding any multiple of W to a balanced base step breaks balance, but not on the sphere."""
    U, W, V = planted([2.0, 1.0])
    tau = 0.01
    polar = U[:, :2] @ V[:, :2].mT
    parts = {"gradient": tau * polar, "weight_decay": -0.02 * W, "low_rank": -tau * polar}
    reading = measure(window(W, W, 1, **parts))
    assert reading["tangential_subdifferential_distance"].item() < 1e-12  # float64 rounding
    expected = 2 * W.norm().item()  # 0.02 ||W|| / tau
    assert reading["subdifferential_distance"].item() == pytest.approx(expected, rel=1e-12)


def test_overshoot_of_single_steps():
    values = [2.0, 0.5, 0.01, 0.004]
    _, W, _ = planted(values)
    tau = 0.02
    got = {n: v.item() for n, v in overshoots(W, torch.tensor(tau, dtype=torch.float64)).items()}
    # Polar: the smallest singular value above rounding; the exact zero is no direction of it.
    assert got["overshoot_polar"] == pytest.approx(1 - 0.004 / tau, rel=1e-10)
    f = [s / math.sqrt(sum(v * v for v in values)) for s in values]
    for _ in range(5):
        f = [1.5 * x - 0.5 * x**3 for x in f]
    by_hand = max(max(x - s / tau, 0) for x, s in zip(f, values))
    assert got["overshoot_published"] == pytest.approx(by_hand, abs=1e-7)  # 1e-8 in its normaliser
    # The slope at zero is 1.5^5/||W|| against the 1/tau that is allowed.
    for ratio, overshoots_at_all in ((1.5**5 + 0.1, False), (1.5**5 - 0.1, True)):
        tau = W.norm() / ratio
        assert bool(overshoots(W, tau)["overshoot_published"] > 0) == overshoots_at_all


def test_the_published_direction_hardly_turns_a_gaussian_matrix():
    """Tabulated for 128 x 128: 0.098 for five cubic steps, 0.529 for the polar factor."""
    fractions = turns(gaussian(128, 128))
    assert fractions["tangential_fraction_published"].item() == pytest.approx(0.098, abs=0.003)
    assert fractions["tangential_fraction_polar"].item() == pytest.approx(0.529, abs=0.005)


def test_turns_equal_those_of_the_dense_directions():
    W = gaussian(9, 5)
    got = turns(W)
    for name, method in (("published", "published"), ("polar", "svd")):
        X = polar_factor(W, method=method)
        cosine = ((X * W).sum() / X.norm() / W.norm()).item()
        # arc cosine loses half the digits at small angles; these are large.
        assert got[f"tangential_fraction_{name}"].item() == pytest.approx(
            math.sqrt(1 - cosine**2), rel=1e-9
        )


def test_only_single_steps_are_known_at_the_first_snapshot():
    W = gaussian(3, 3)
    arrays = measure(window(W, W, 1)[:1])
    single = {"tangential_fraction_published", "tangential_fraction_polar"}
    for name, array in arrays.items():
        assert bool(array.isnan().all()) == (name not in single), name


def test_without_recorded_parts_the_weights_still_tell_something():
    W = gaussian(3, 3)
    reading = measure(window(W, W + 0.1 * gaussian(3, 3, seed=1), 10))
    finite = {name for name, array in reading.items() if bool(array.isfinite().all())}
    assert finite == {"angular_step", "tangential_fraction_published", "tangential_fraction_polar"}


def test_an_extinct_matrix_has_no_direction():
    W = gaussian(3, 3)
    reading = measure(window(torch.zeros(3, 3), torch.zeros(3, 3), 1, low_rank=0 * W))
    assert reading["rank"].item() == 0.0
    assert reading["fan_fraction"].item() == 1.0
    assert reading["radial"].isnan().all()


def test_the_amount_of_a_training_run():
    decay = LowRank(0.002, scale="absolute", coupled=False, method="svd")
    problem = Problem([tiny(updates=(WeightDecay(0.1, on="not_qk"), Adam(), decay))], EAGER)
    observer = Observer([DecayGeometry()])
    for snapshot in Trainer(problem, record_parts=True).snapshots():
        reading = observer.observe(snapshot)["decay_geometry"]
    amount = reading["amount"]
    # Each float32 step rounds by 1e-6 of a spectral norm of 1, against tau = 0.002.
    assert bool((amount <= 0.002 * (1 + 1e-3)).all())
    assert bool((amount >= 0.002 * 0.98).all())  # singular vectors hardly turn in four steps
    # Q and K are exempt from weight decay here, and exactly so.
    assert bool((reading["radial"][:, 1] == 0).all())


def test_errors():
    with pytest.raises(ValueError, match="unknown kind of matrix for DecayGeometry 'keys'"):
        DecayGeometry(("keys",))
