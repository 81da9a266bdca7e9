"""Tensors and tables come back bit for bit, or raise."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import save

from spectraledge.store import DamagedError
from spectraledge.store.checksum import Block, checksum
from spectraledge.store.tables import table_from_bytes, table_to_bytes
from spectraledge.store.tensors import tensors_from_bytes, tensors_to_bytes

TYPES = [
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.uint8,
    torch.bool,
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3), (2, 0, 3)])
def test_tensors_round_trip(dtype, shape):
    tensor = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 8).to(dtype)
    tensors, metadata = tensors_from_bytes(tensors_to_bytes({"w": tensor}, {"λ": "0.1\n"}), "test")
    assert tensors["w"].dtype == dtype
    assert torch.equal(tensors["w"], tensor)
    assert tensors["w"].shape == tensor.shape
    assert metadata == {"λ": "0.1\n"}


def test_non_finite_values_and_views_of_one_storage_round_trip():
    flat = torch.tensor([float("nan"), float("inf"), -0.0, 1.0], requires_grad=True)
    named = {"head": flat[:2], "tail": flat[2:], "all": flat, "stepped": flat[::2]}
    tensors, _ = tensors_from_bytes(tensors_to_bytes(named, {}), "test")
    for name, tensor in named.items():
        assert torch.equal(
            tensors[name].view(torch.int32), tensor.detach().contiguous().view(torch.int32)
        )


def test_every_damaged_byte_of_a_tensor_file_is_noticed():
    data = tensors_to_bytes({"w": torch.arange(6.0), "b": torch.ones(2)}, {"step": "3"})
    for position in range(len(data)):
        for bit in (0, 5, 7):
            with pytest.raises(DamagedError, match="test is damaged"):
                tensors_from_bytes(flipped(data, position, bit), "test")
    for length in range(len(data)):
        with pytest.raises(DamagedError):
            tensors_from_bytes(data[:length], "test")


def test_a_tensor_file_without_checksum_is_refused():
    with pytest.raises(DamagedError, match="no checked safetensors file"):
        tensors_from_bytes(save({"w": torch.ones(2)}), "test")


@pytest.mark.parametrize("write", [tensors_to_bytes, table_to_bytes])
def test_the_checksum_key_is_kept_free(write):
    with pytest.raises(ValueError, match="'sha256' in the metadata is kept"):
        write({}, {"sha256": "x"})


def test_the_checksum_covers_all_a_reader_gets_in_any_order():
    block, other = Block("w", "int8", (2, 1), b"ab"), Block("b", "int8", (1,), b"c")
    whole = checksum([block, other], {"k": "v"})
    assert checksum([other, block], {"k": "v"}) == whole
    changed = [
        checksum([block._replace(**change), other], {"k": "v"})
        for change in ({"name": "x"}, {"kind": "uint8"}, {"shape": (1, 2)}, {"values": b"ax"})
    ]
    changed += [checksum([block], {"k": "v"}), checksum([block, other], {"k": "x"})]
    assert len({whole, *changed}) == 7


def test_the_key_of_shapes_is_kept_free():
    with pytest.raises(ValueError, match="'shapes' in the metadata is kept"):
        table_to_bytes({}, {"shapes": "x"})


column_types = st.sampled_from(
    [np.float64, np.float32, np.float16, np.int64, np.int8, np.uint16, np.bool_]
)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 4))
def test_tables_round_trip(data, steps):
    shapes = st.lists(st.integers(0, 3), max_size=3).map(lambda rest: (steps, *rest))
    columns = data.draw(
        st.dictionaries(
            st.text(max_size=4), hnp.arrays(column_types, shapes), min_size=1, max_size=3
        )
    )
    found, metadata = table_from_bytes(table_to_bytes(columns, {"a": "b"}), "test")
    assert list(found) == list(columns)
    assert metadata == {"a": "b"}
    for name, column in columns.items():
        assert (found[name].dtype, found[name].shape) == (column.dtype, column.shape)
        assert found[name].tobytes() == column.tobytes()  # bit for bit, NaN included


def test_tables_take_tensors_and_sequences():
    columns = {"step": [0, 1], "spectrum": torch.ones(2, 3, requires_grad=True)}
    found, _ = table_from_bytes(table_to_bytes(columns, {}), "test")
    assert found["step"].tolist() == [0, 1]
    assert found["spectrum"].dtype == np.float32


def test_other_readers_see_nested_lists(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    array = np.arange(12.0).reshape(2, 3, 2)
    (tmp_path / "t.parquet").write_bytes(table_to_bytes({"x": array}, {}))
    assert parquet.read_table(tmp_path / "t.parquet")["x"].to_pylist() == array.tolist()


def test_a_damaged_table_is_refused_or_reads_the_same():
    """Some bits of a Parquet file are not used; all that change what is read are noticed."""
    columns = {"step": np.arange(64), "loss": np.random.default_rng(0).random((64, 3))}
    expected = {name: column.tobytes() for name, column in columns.items()}
    data = table_to_bytes(columns, {})
    positions = range(0, len(data), 7)
    refused = 0
    for position in positions:
        try:
            found, _ = table_from_bytes(flipped(data, position, position % 8), "test")
        except DamagedError:
            refused += 1
            continue
        assert {name: column.tobytes() for name, column in found.items()} == expected
    assert refused > len(positions) / 2  # measured over all bits: 85 %


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_table_cut_short_is_refused(share):
    data = table_to_bytes({"step": np.arange(100)}, {})
    with pytest.raises(DamagedError, match="no checked Parquet file"):
        table_from_bytes(data[: int(share * len(data))], "test")


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            ValueError,
            "columns of one length, got {'a': 2, 'b': 3}",
        ),
        ({"a": np.float64(1.0)}, Exception, "scalar|violat"),
        ({"a": np.zeros(2, complex)}, TypeError, "column 'a', got complex128"),
        ({"a": np.array(["x"])}, TypeError, "column 'a', got <U1"),
        ({"a": np.array(0.0)}, ValueError, "one entry a step in column 'a', got a scalar"),
    ],
)
def test_what_a_table_cannot_hold(columns, error, message):
    with pytest.raises(error, match=message):
        table_to_bytes(columns, {})


def flipped(data, position, bit):
    return data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :]
