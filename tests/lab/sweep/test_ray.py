"""A real Ray cluster of two nodes, one of which is killed in the middle."""

import importlib.util
import os
import sys
import threading

import pytest
from sweep_cases import MIXED, counts, lines_of, plan_at, results, troubled
from sweep_drivers import until

from spectraledge.lab.ledger import Ledger
from spectraledge.lab.sweep import Board, CostModel, Inline, RayCluster, Sweep, engine, ray_cluster
from spectraledge.lab.sweep.ray_tasks import SharedRoot, answer
from spectraledge.training import Execution

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)

ONE_CPU = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
# The defaults take half a minute to notice that a node is gone.
IMPATIENT = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


@pytest.fixture(scope="module")
def cluster():
    """A head with one CPU; `add_node` makes others."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Nodes are other processes; they import the tasks of this folder.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        head = Cluster(
            initialize_head=True, head_node_args={**ONE_CPU, "_system_config": IMPATIENT}
        )
        yield head
        head.shutdown()


@pytest.fixture(scope="module")
def connected(cluster):
    """One connection for several sweeps, which so can share workers that have imported torch."""
    import ray

    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch):
    monkeypatch.setattr(engine, "measure_costs", lambda specs, execution: CostModel())


def test_a_sweep_leaves_a_cluster_as_it_was(cluster, tmp_path):
    import ray

    demanding = plan_at(tmp_path, execution=Execution(compile=False, threads=64))
    sweep = Sweep(MIXED, RayCluster(demanding, address=cluster.address))
    with pytest.raises(RuntimeError, match=r"nodes with 64 CPUs, got none .* fewer threads"):
        sweep.run()
    assert not ray.is_initialized()
    assert not list(tmp_path.rglob("ray-*"))


def test_lost_nodes_and_hung_and_killed_workers_lose_nothing(connected, tmp_path, monkeypatch):
    # The longest runs come first, and hang: one on either node, which has one CPU.
    trouble = [troubled(tmp_path, "hang", times=1, seed=s, steps=60) for s in range(2)]
    trouble.append(troubled(tmp_path, "die", times=1, steps=60))
    specs = [*MIXED, *(spec for spec, _ in trouble)]
    plan = plan_at(tmp_path / "ray", save_every=0.5, largest_batch=2)
    node = connected.add_node(**ONE_CPU)
    board, executor = Board(), RayCluster(plan)

    def lose_a_node():
        until(lambda: all(lines_of(notes) for _, notes in trouble[:2]))
        connected.remove_node(node, allow_graceful=False)

    loser = threading.Thread(target=lose_a_node)
    loser.start()
    path = tmp_path / "ledger.parquet"
    ledger = Sweep(specs, executor, path=path, silence=8.0, board=board).run()
    loser.join()
    # One job was lost with its node, one hung on the other, and one killed its worker.
    assert board.standing().retries >= 3
    assert [len(lines_of(notes)) for _, notes in trouble[:2]] >= [2, 2]
    monkeypatch.setattr(ray_cluster, "SECONDS_BETWEEN_COUNTS", 0.0)
    until(lambda: executor.wait(0.1) == [] and executor.workers == 1)
    assert not list((plan.root / ".locks").glob("ray-*"))

    # By now the runs make no trouble any more.
    calm = plan_at(tmp_path / "calm", save_every=60.0)
    assert results(ledger) == results(Sweep(specs, Inline(calm)).run())
    assert results(Ledger.read(path)) == results(ledger)


def test_a_node_that_does_not_share_the_root_ends_the_sweep(connected, tmp_path):
    import ray

    executor = RayCluster(plan_at(tmp_path))
    probe = executor._probe

    def probe_then_hide():
        probe()
        executor._shared.path.unlink()  # as on a node that joins later, with a disk of its own

    executor._probe = probe_then_hide
    with pytest.raises(RuntimeError, match=r"node .* does not see .* all nodes share"):
        Sweep(MIXED, executor).run()
    assert ray.is_initialized()  # the connection is not its own


def test_ray_of_this_machine_alone(tmp_path):
    import ray

    ray.shutdown()  # A sweep leaves the connection of the tests before, if there is one.
    executor = RayCluster(plan_at(tmp_path, save_every=60.0), workers=1)
    assert counts(Sweep(MIXED[:2], executor).run()) == {"done": 2}
    assert not ray.is_initialized()


# --- errors ----------------------------------------------------------------------------------


def test_the_root_is_checked_both_ways(tmp_path):
    shared = SharedRoot(tmp_path / "runs", "token")
    assert f"does not see what the driver writes under {tmp_path}/runs" in shared.problem()
    assert answer(shared, "node") == shared.problem()
    shared.plant()
    assert shared.problem() == ""
    assert answer(shared, "node") == ""
    assert shared.answer_of("node").exists()
    shared.remove()
    assert not list((tmp_path / "runs" / ".locks").iterdir())
    shared.plant()
    assert "cannot write under" in answer(shared, "a name that is too long" * 20)


def test_errors(tmp_path, monkeypatch):
    import ray

    plan = plan_at(tmp_path)
    with pytest.raises(ValueError, match="RayCluster: expected workers >= 1, got 0"):
        RayCluster(plan, workers=0)

    with pytest.raises(ConnectionError, match=r"'127.0.0.1:1', got none .* refused"):
        RayCluster(plan, address="127.0.0.1:1").__enter__()

    def nobody(*arguments, **options):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(ConnectionError, match=r"at 'auto', got none .*ray start --head"):
        RayCluster(plan, address="auto").__enter__()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"pip install 'spectraledge\[ray\]'"):
        RayCluster(plan)
