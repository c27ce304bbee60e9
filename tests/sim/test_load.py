"""Launches at the same time: nothing is lost, doubled or left, and a clash is a sentence. load.py is its long form."""

from __future__ import annotations

from gbench.errors import ExitCode
from load import launch_at_once
from world import World, told

COUNT = 8


def test_launches_at_once_into_a_file(sim: World) -> None:
    load = launch_at_once(sim, COUNT)
    load.require_each_once(load.stored())


def test_one_of_several_goes_on_with_a_run(sim: World) -> None:
    place = sim.new_place()
    place.order("evaluation", "hold")
    stopped = sim.start(place, *sim.launch_arguments(converge=True))
    stopped.wait_until_held()
    stopped.processes("torchrun")[-1].kill()
    assert stopped.wait().code == ExitCode.FAILED
    (folder,) = place.run_folders()
    (place.sim / "at").unlink()
    first = sim.start(place, "converge", "--resume", folder.path, "--trust")
    first.wait_until_held()
    others = [sim.start(place, "converge", "--resume", folder.path, "--trust") for _ in range(COUNT // 2)]
    ended = [launch.wait() for launch in others]
    assert {(one.code, told(one.sentence, place)) for one in ended} == {
        (ExitCode.INFRASTRUCTURE, "run folder results/RUN is in use by another process; wait until it has ended")
    }
    first.go_on()
    assert first.wait().code == ExitCode.OK
    assert len(place.records()) == 1 and place.leftovers() == []
