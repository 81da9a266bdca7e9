"""The examples of the page on adding an instrument or an update, as somebody would copy them."""

import importlib.util
import re
from pathlib import Path

import pytest
from torch import nn

from cases import EAGER, tiny
from spectraledge import Probe
from spectraledge.training import Problem, train
from spectraledge.updates import Adam

PAGE = Path(__file__).parents[2] / "docs" / "add_an_instrument.md"


def written(name, folder):
    """The module of the page that defines a class, imported from a file of its own."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (block,) = (b for b in blocks if f"class {name}(" in b)
    path = folder / f"{name.lower()}.py"
    path.write_text(block)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def test_the_instrument_measures_any_model(tmp_path):
    LargestEntry = written("LargestEntry", tmp_path)
    model = nn.TransformerEncoderLayer(8, 2, 16)
    probe = Probe(model, [LargestEntry()], every=1)
    probe.step(0)
    query, key, _ = model.self_attn.in_proj_weight.detach().chunk(3)
    expected = [query.abs().max().item(), key.abs().max().item()]
    assert probe.readings["largest_entry"]["entry"][0].tolist() == expected
    assert len(probe.labels["largest_entry"]["matrix"]) == 2


def test_the_update_trains_several_runs(tmp_path):
    Clamp = written("Clamp", tmp_path)
    specs = [tiny(seed=0, updates=(Adam(), Clamp(bound))) for bound in (0.05, 0.1)]
    *_, last = train(Problem(specs, EAGER), record_parts=True)
    largest = last.parameters.abs().amax(1)
    assert largest.tolist() == pytest.approx([0.05, 0.1])
    assert last.parts["clamp"].abs().sum() > 0
    with pytest.raises(ValueError, match="Clamp: expected largest > 0, got 0"):
        Clamp(0.0)
