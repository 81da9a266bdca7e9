import numpy as np
import pytest
import torch

from spectraledge.instruments import Observer, WeightSpectrum, Window
from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters

RANKS = ("stable_rank", "entropy_rank", "nuclear_rank", "participation_ratio")


def snapshot(**weights: torch.Tensor) -> Snapshot:
    """One run from named weights; ``__`` stands for a dot."""
    named = {name.replace("__", "."): w for name, w in weights.items()}
    layout = Layout(tuple(named), tuple(tuple(w.shape) for w in named.values()))
    return Snapshot(0, layout, torch.cat([w.reshape(-1) for w in named.values()])[None])


def planted(values, rows, columns, seed=0) -> torch.Tensor:
    """Matrix with the given singular values and random singular vectors, float64."""
    chance = torch.Generator().manual_seed(seed)
    draw = [torch.randn(n, n, generator=chance, dtype=torch.float64) for n in (rows, columns)]
    U, V = (torch.linalg.qr(d).Q for d in draw)
    S = torch.zeros(rows, columns, dtype=torch.float64)
    S.diagonal()[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return U @ S @ V.mT


def measure(instrument, snapshot) -> dict[str, torch.Tensor]:
    (reading,) = Observer([instrument]).observe(snapshot).values()
    return reading


def test_planted_spectra_of_different_shapes():
    q, k = [3.0, 2.0, 1.0, 0.02], [5.0, 4.0]
    now = snapshot(
        blocks__0__attn__k_proj__weight=planted(k, 2, 4),
        blocks__0__attn__q_proj__weight=planted(q, 6, 4),
    )
    reading = measure(WeightSpectrum(), now)
    labels = WeightSpectrum().labels(Window((now,)))
    assert labels["matrix"] == ("layer0.attention.key", "layer0.attention.query")
    expected = [[*k, np.nan, np.nan], q]
    # Orthogonal factors and the decomposition round at float64 eps times the norm.
    np.testing.assert_allclose(reading["singular_values"][0], expected, atol=1e-13)
    for row, values in enumerate((np.array(k), np.array(q))):
        p = values / values.sum()
        by_hand = {
            "stable_rank": (values**2).sum() / values[0] ** 2,
            "entropy_rank": np.exp(-(p * np.log(p)).sum()),
            "nuclear_rank": values.sum() ** 2 / (values**2).sum(),
            "participation_ratio": (values**2).sum() ** 2 / (values**4).sum(),
            "threshold_rank": (values > 0.01 * values[0]).sum(),
            "numerical_rank": len(values),
            "frobenius_norm": np.sqrt((values**2).sum()),
            "nuclear_norm": values.sum(),
            "spectral_norm": values[0],
        }
        got = {name: float(reading[name][0, row]) for name in by_hand}
        assert got == pytest.approx(by_hand, rel=1e-12)  # a few float64 roundings each
    assert reading["threshold_rank"].tolist() == [[2.0, 3.0]]


def test_ranks_do_not_see_the_scale_and_norms_do():
    W = planted([3.0, 1.0, 0.5], 3, 3)
    small, large = (
        measure(WeightSpectrum(kinds=("query",)), snapshot(a__query__weight=scale * W))
        for scale in (1.0, 1e4)
    )
    for name in (*RANKS, "threshold_rank", "numerical_rank"):
        torch.testing.assert_close(large[name], small[name], rtol=1e-12, atol=0.0)
    for name in ("frobenius_norm", "nuclear_norm", "spectral_norm"):
        torch.testing.assert_close(large[name], 1e4 * small[name], rtol=1e-12, atol=0.0)


def test_the_numerical_rank_knows_the_stored_dtype():
    """A singular value of 1e-9 is a direction in float64 and rounding in float32."""
    W = planted([1.0, 1e-9], 2, 2)
    for dtype, rank in ((torch.float64, 2.0), (torch.float32, 1.0)):
        reading = measure(WeightSpectrum(("query",)), snapshot(a__query__weight=W.to(dtype)))
        assert reading["numerical_rank"].item() == rank


def test_a_fused_projection_equals_its_pieces():
    pieces = [planted([3.0, 2.0, 1.0], 3, 3, seed) for seed in range(3)]
    fused = measure(WeightSpectrum(), snapshot(blocks__0__attn__qkv__weight=torch.cat(pieces)))
    names = ("q_proj", "k_proj", "v_proj")
    apart = measure(
        WeightSpectrum(),
        snapshot(**{f"blocks__0__attn__{n}__weight": w for n, w in zip(names, pieces)}),
    )
    for name, array in fused.items():
        torch.testing.assert_close(array, apart[name], rtol=0.0, atol=0.0, equal_nan=True)


def test_the_default_initialisation_has_its_known_ranks():
    """The 128 x 128 values tabulated for torch's default linear initialisation, four matrices."""
    model = ScaleInvariantDecoderSpec().build(vocabulary=114, length=3, classes=114, seed=0)
    now = Snapshot(0, Layout.of(model), flatten_parameters(model)[None])
    reading = {name: a.mean().item() for name, a in measure(WeightSpectrum(), now).items()}
    # Spread between initialisations; the norms concentrate, the largest value less so.
    assert reading["stable_rank"] == pytest.approx(33.5, abs=1.5)
    assert reading["entropy_rank"] == pytest.approx(103, abs=1.5)
    assert reading["nuclear_rank"] == pytest.approx(92, abs=1.5)
    assert reading["participation_ratio"] == pytest.approx(64, abs=1.5)
    assert reading["frobenius_norm"] == pytest.approx(6.53, abs=0.05)
    assert reading["numerical_rank"] == 128


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("gain_size", [None, 3, 12])
def test_heads_equal_dense_circuits(key_heads, gain_size):
    heads, size, width = 4, 3, 5
    chance = torch.Generator().manual_seed(1)
    W_Q = torch.randn(heads * size, width, generator=chance, dtype=torch.float64)
    W_K = torch.randn(key_heads * size, width, generator=chance, dtype=torch.float64)
    gain = torch.ones(heads * size, dtype=torch.float64)
    weights = {"layers__1__attn__q_proj__weight": W_Q, "layers__1__attn__k_proj__weight": W_K}
    if gain_size is not None:
        drawn = torch.rand(gain_size, generator=chance, dtype=torch.float64)
        weights |= {"layers__1__attn__q_norm__weight": drawn}
        gain = drawn.repeat(heads * size // gain_size)
    now = snapshot(**weights)
    instrument = WeightSpectrum(heads=heads)
    reading = measure(instrument, now)
    labels = instrument.labels(Window((now,)))
    assert labels["layer"] == ("layer1.attention",)
    assert labels["head"] == ("head0", "head1", "head2", "head3")
    for h in range(heads):
        q = slice(h * size, (h + 1) * size)
        k = slice(h * key_heads // heads * size, (h * key_heads // heads + 1) * size)
        dense = {
            "query_head": W_Q[q],
            "key_head": W_K[k],
            "circuit": W_Q[q].mT @ torch.diag(gain[q]) @ W_K[k],
        }
        for name, matrix in dense.items():
            values = np.linalg.svd(matrix.numpy(), compute_uv=False)
            p = values[values > 1e-12] / values.sum()
            # Two decompositions of a well-conditioned small matrix.
            assert reading[f"{name}_stable_rank"][0, 0, h].item() == pytest.approx(
                (values**2).sum() / values[0] ** 2, rel=1e-10
            )
            assert reading[f"{name}_entropy_rank"][0, 0, h].item() == pytest.approx(
                np.exp(-(p * np.log(p)).sum()), rel=1e-10
            )


def test_learned_gains_of_the_reference_model_count():
    spec = ScaleInvariantDecoderSpec(width=8, heads=2, mlp_width=8, layers=1)
    model = spec.build(vocabulary=5, length=2, classes=5, seed=0)
    before = measure(
        WeightSpectrum(heads=2), Snapshot(0, Layout.of(model), flatten_parameters(model)[None])
    )
    with torch.no_grad():
        model.blocks[0].attention.key_norm.gain[1:4] = 0.0  # leaves head 0 one direction
    after = measure(
        WeightSpectrum(heads=2), Snapshot(0, Layout.of(model), flatten_parameters(model)[None])
    )
    assert before["circuit_entropy_rank"][0, 0, 0] > 2
    assert after["circuit_entropy_rank"][0, 0, 0].item() == pytest.approx(1, abs=1e-9)  # exp(0)
    assert torch.equal(
        after["circuit_entropy_rank"][0, 0, 1], before["circuit_entropy_rank"][0, 0, 1]
    )
    assert torch.equal(after["key_head_entropy_rank"], before["key_head_entropy_rank"])


def test_without_heads_their_outputs_are_empty():
    reading = measure(WeightSpectrum(("query",)), snapshot(a__query__weight=torch.eye(2)))
    assert reading["circuit_stable_rank"].shape == (1, 0, 0)


def test_errors():
    with pytest.raises(ValueError, match=r"'qeury'; known: query, .*did you mean 'query'"):
        WeightSpectrum(("qeury",))
    with pytest.raises(TypeError, match=r"write \('query',\)"):
        check_kinds("WeightSpectrum", "query")
    with pytest.raises(ValueError, match="heads >= 1 or None, got 0"):
        WeightSpectrum(heads=0)
    with pytest.raises(ValueError, match=r"threshold in \(0, 1\), got 1.0"):
        WeightSpectrum(threshold=1.0)
    only_query = snapshot(a__query__weight=torch.eye(3))
    with pytest.raises(ValueError, match="no weight matrix of kind"):
        measure(WeightSpectrum(("key",)), only_query)
    with pytest.raises(ValueError, match="query beside a key"):
        measure(WeightSpectrum(("query",), heads=3), only_query)
    pair = snapshot(a__query__weight=torch.eye(3), a__key__weight=torch.eye(3))
    with pytest.raises(ValueError, match="heads=2"):
        measure(WeightSpectrum(heads=2), pair)
