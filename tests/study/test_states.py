from __future__ import annotations

from pathlib import Path

from nas.study.checkpoints import ResumableCheckpoints


def leave(states: ResumableCheckpoints, trial: int, size: int = 10) -> None:
    """What a training leaves: weights, and a state beside them."""
    weights = Path(states.path(trial))
    weights.write_bytes(bytes(size // 2))
    weights.with_name(weights.name + ".state").write_bytes(bytes(size - size // 2))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*")}


def files(*trials: int) -> set[str]:
    return {f"search-{trial}.safetensors{end}" for trial in trials for end in ("", ".state")}


def test_a_state_is_there_until_it_is_dropped(tmp_path):
    states = ResumableCheckpoints(tmp_path / "checkpoints", None)
    for trial in (1, 11):  # names that begin alike
        leave(states, trial)
        states.add(trial, (-1.0, float(trial)))
    assert states.of(1) == str(tmp_path / "checkpoints" / "search-1.safetensors")
    states.drop(1)
    assert states.of(1) is None
    assert left(tmp_path / "checkpoints") == files(11)
    states.clear()
    assert left(tmp_path / "checkpoints") == set()


def test_what_a_failed_trial_left_is_removed_and_nothing_left_is_nothing_kept(tmp_path):
    states = ResumableCheckpoints(tmp_path, None)
    leave(states, 3)
    states.add(3, None)
    states.add(4, (-1.0, 0.0))
    assert states.of(3) is states.of(4) is None
    assert left(tmp_path) == set()


def test_too_large_the_worst_of_the_lowest_fidelity_goes_first(tmp_path):
    """Room for three; ranks are (-fidelity, loss)."""
    states = ResumableCheckpoints(tmp_path, 35)
    for trial, order in enumerate([(-1.0, 0.3), (-3.0, 0.9), (-1.0, 0.1), (-1.0, 0.2), (-3.0, 0.8)]):
        leave(states, trial)
        states.add(trial, order)
    assert left(tmp_path) == files(1, 2, 4)
    assert states.of(0) is states.of(3) is None


def test_restored_are_the_useful_ones_that_are_still_there(tmp_path):
    states = ResumableCheckpoints(tmp_path, None)
    for trial in (0, 1, 2):
        leave(states, trial)
    (tmp_path / "search-1.safetensors.state.77.part").write_bytes(b"half")
    (tmp_path / "search-12.safetensors.77.part").write_bytes(b"half")
    (tmp_path / "final-0.safetensors").write_bytes(b"weights")
    after = ResumableCheckpoints(tmp_path, None)
    after.restore({1: (-1.0, 0.5), 2: (-1.0, 0.2), 9: (-1.0, 0.1)})
    assert left(tmp_path) == files(1, 2) | {"final-0.safetensors"}
    assert [after.of(trial) is not None for trial in (0, 1, 2, 9)] == [False, True, True, False]
    bounded = ResumableCheckpoints(tmp_path, 15)
    bounded.restore({1: (-1.0, 0.5), 2: (-1.0, 0.2)})
    assert left(tmp_path) == files(2) | {"final-0.safetensors"}


def test_a_folder_that_is_not_used_is_not_made(tmp_path):
    states = ResumableCheckpoints(tmp_path / "checkpoints", None)
    states.restore({1: (-1.0, 0.5)})
    states.clear()
    assert not (tmp_path / "checkpoints").exists()
