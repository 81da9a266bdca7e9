"""The table of all published numbers loses none of them."""

from spectraledge.experiments.spectral_edge.dyck_numbers import EDGE_NUMBERS
from spectraledge.experiments.spectral_edge.number_tables import REDUCED_SCAN, number_tables
from spectraledge.experiments.spectral_edge.published_numbers import COLUMNS, NOT_RUN
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger


def test_without_any_run_every_number_stands_there_as_not_run():
    tables = number_tables(Known(Ledger(), None))
    assert REDUCED_SCAN not in tables
    assert len(tables) == 10
    assert len(tables["the edge"]) == len(EDGE_NUMBERS)
    for lines in tables.values():
        assert {len(line) for line in lines} == {len(COLUMNS)}
        assert {line[-1] for line in lines} == {NOT_RUN}
        assert len({line[:2] for line in lines}) == len(lines)
