"""Segments on a real Ray cluster of two nodes here: the same bundle, also when workers and nodes are lost."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from several_segments import KEY, registered_here_only, sealing

import neuralcipher
from neuralcipher import SealOptions
from neuralcipher.errors import CancelledError, NeuralCipherError, UsageError
from neuralcipher.keys import BundleKey
from neuralcipher.pipeline import cluster, remote
from neuralcipher.pipeline.beginning import Beginning
from neuralcipher.pipeline.checkpoint import checkpoint_folder
from neuralcipher.pipeline.options import Progress

ray = pytest.importorskip("ray", reason="Ray is not installed")
from ray.cluster_utils import Cluster as LocalCluster  # noqa: E402

pytestmark = pytest.mark.slow

seal = sealing(8, 40, ray="auto")

LONG = 3000  # steps that take longer than a busy machine takes to bring the first report


@pytest.fixture(scope="module")
def nodes() -> Iterator[LocalCluster]:
    """Two nodes of one core each; the driver is on the first."""
    started = LocalCluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False},
    )
    ray.init(address=started.address, log_to_driver=False, logging_level="ERROR")
    add_node(started)
    yield started
    ray.shutdown()
    started.shutdown()


def add_node(nodes: LocalCluster) -> Any:
    node = nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
    nodes.wait_for_nodes()
    return node


def test_the_bundle_is_the_same_byte_for_byte_as_from_one_machine(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, salt = BundleKey(bytes(range(1, 33))), bytes(32)
    slots = Beginning.fresh([KEY], SealOptions(), None).slots
    monkeypatch.setattr(Beginning, "fresh", lambda *arguments: Beginning(root, salt, slots, "aes-256-gcm"))
    files = []
    for place in ({"ray": "auto"}, {"ray": None}):
        with monkeypatch.context() as patch:
            patch.setattr("neuralcipher.container.writing.os.urandom", lambda size: sha256(b"drawn").digest()[:size])
            seal(tmp_path / "v.ncv", flow="latent", flow_options={"steps": 2}, **place)
        files.append((tmp_path / "v.ncv").read_bytes())
        (tmp_path / "v.ncv").unlink()
    assert files[0] == files[1]


def test_workers_get_frames_and_a_seed_but_no_key(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed to Ray is looked through for the key and the bundle key; that the seed is found shows how."""
    begun: list[Beginning] = []
    fresh = Beginning.fresh
    monkeypatch.setattr(Beginning, "fresh", lambda *a: begun.append(fresh(*a)) or begun[0])
    handed: list[bytes] = []
    submit, put = cluster.Cluster._submit, ray.put

    def spied_submit(self: Any, part: Any, board: Any) -> Any:
        handed.append(pickle.dumps((self._options, part.task.plain())))
        return submit(self, part, board)

    monkeypatch.setattr(cluster.Cluster, "_submit", spied_submit)
    monkeypatch.setattr(ray, "put", lambda value: handed.append(value.tobytes()) or put(value))
    seal(tmp_path / "v.ncv")
    everything = b"".join(handed)
    assert begun[0].segment_seed(3).reveal() in everything
    assert KEY.reveal() not in everything
    assert begun[0].root.reveal() not in everything


def test_a_worker_that_is_killed_costs_its_segment_alone(tmp_path: Path, nodes: LocalCluster) -> None:
    told: list[str] = []
    killed: list[int] = []

    def kill(report: Progress) -> None:
        workers = [actor for actor in workers_at_work() if actor not in killed]
        if report.stage == "fitting" and workers and not killed:
            killed.append(workers[0])
            os.kill(workers[0], signal.SIGKILL)

    report = seal(tmp_path / "v.ncv", kill, tell=told.append, flow_options={"steps": LONG})
    assert killed
    assert sum("was lost with its worker (WorkerCrashedError)" in sentence for sentence in told) == 1
    assert report.segments == 4
    assert neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "o.y4m", keys=[KEY]).frames == 8


def workers_at_work() -> list[int]:
    """Processes that run our task, as they name themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::fit_segment"):
                found.append(int(entry.name))
    return found


def test_a_node_that_is_lost_midway_and_for_good(tmp_path: Path, nodes: LocalCluster) -> None:
    second = [add_node(nodes)]
    told: list[str] = []

    def leave(report: Progress) -> None:
        if second and report.stage == "fitting" and len(workers_at_work()) == 3:
            nodes.remove_node(second.pop())

    report = seal(tmp_path / "v.ncv", leave, tell=told.append, flow_options={"steps": LONG})
    for node in second:  # the next test counts nodes
        nodes.remove_node(node)
    assert not second
    assert any("was lost with its worker" in sentence for sentence in told)
    assert report.frames == 8


def test_no_more_segments_are_held_than_can_be_worked_on(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    wait = ray.wait
    monkeypatch.setattr(ray, "wait", lambda refs, **how: held.append(len(refs)) or wait(refs, **how))
    seal(tmp_path / "v.ncv", segment_frames=1)
    assert max(held) == 2 + cluster._SPARE


def test_a_restarted_driver_does_no_segment_again(tmp_path: Path, nodes: LocalCluster) -> None:
    output = tmp_path / "v.ncv"

    def stop(report: Progress) -> None:
        if report.finished:
            raise CancelledError("stopped by the test")

    with pytest.raises(CancelledError):
        seal(output, stop, flow_options={"steps": LONG})
    finished = len(list(checkpoint_folder(output).glob("segment-*")))
    assert finished
    seen: list[Progress] = []
    report = seal(output, seen.append, flow_options={"steps": LONG}, ray=None, jobs=1)  # also without the cluster
    assert min(part.finished for part in seen if part.stage == "fitting") == finished
    assert report.segments == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.ncv"]


def test_what_a_task_fails_with_is_what_the_caller_gets(tmp_path: Path, nodes: LocalCluster) -> None:
    with (
        registered_here_only() as name,
        pytest.raises(UsageError, match="no generator is called 'only-here'"),
    ):
        seal(tmp_path / "v.ncv", generator=name)
    assert not (tmp_path / "v.ncv").exists()


def test_another_version_is_refused_by_name(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "version", lambda name: "99.0")
    with pytest.raises(NeuralCipherError, match=r"the node \S+ has neuralcipher \d+\.\d+\.\d+, but 99.0 is needed"):
        seal(tmp_path / "v.ncv")


@pytest.mark.parametrize("error", [ImportError("no neuralcipher here"), TypeError("other arguments")])
def test_a_node_without_our_code_is_one_sentence(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def other(*arguments: Any) -> Any:
        raise error

    monkeypatch.setattr(remote, "fit_segment", other)
    with pytest.raises(NeuralCipherError, match=rf"cannot fit segment \d: {type(error).__name__}") as caught:
        seal(tmp_path / "v.ncv")
    assert "on every node" in caught.value.hint


def test_a_segment_that_kills_whoever_fits_it_ends_the_sealing(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deadly(*arguments: Any) -> Any:
        os._exit(1)

    monkeypatch.setattr(remote, "fit_segment", deadly)
    with pytest.raises(NeuralCipherError, match=r"segment \d was lost with its worker \(\w+\), the 4th time"):
        seal(tmp_path / "v.ncv")


def test_a_cluster_without_nodes_is_not_waited_for_without_end(
    tmp_path: Path, nodes: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.Cluster, "_slots", lambda self: 0)
    monkeypatch.setattr(cluster, "_ALONE_S", 0.0)
    monkeypatch.setattr(cluster, "_WAIT_S", 0.01)
    with pytest.raises(NeuralCipherError, match="the cluster has no node left"):
        seal(tmp_path / "v.ncv", flow_options={"steps": 100_000})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "no.such.host.invalid:6379", "[::1]:1"])
def test_no_cluster_at_an_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match="no Ray cluster answers at") as caught:
        cluster.Cluster(SealOptions(), address)
    assert "ray start --head" in caught.value.hint


@pytest.mark.parametrize("address", ["", "nonsense", ":6379", "host:", "host:port"])
def test_what_is_no_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UsageError, match="is not the address of a cluster"):
        cluster.Cluster(SealOptions(), address)


def test_without_ray_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match="Ray is not installed") as caught:
        cluster.Cluster(SealOptions(), "auto")
    assert "neuralcipher[ray]" in caught.value.hint
