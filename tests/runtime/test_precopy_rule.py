"""When memory goes ahead of a snapshot, and the reason when it does not."""

from runtime.precopy import WORTH_IT, reason_to_stop_first


def test_memory_goes_ahead_from_the_bound_on() -> None:
    assert reason_to_stop_first(WORTH_IT, 4.0) is None


def test_little_memory_waits_until_the_module_stands() -> None:
    assert reason_to_stop_first(WORTH_IT - 1, 4.0) == (
        f"{WORTH_IT - 1} bytes of memory are sent soon enough when it stands"
    )


def test_a_runtime_that_sends_nothing_ahead_says_so_whatever_the_size() -> None:
    for memory in (0, WORTH_IT, 2**32):
        assert reason_to_stop_first(memory, 0.0) == "this runtime sends no memory ahead"
