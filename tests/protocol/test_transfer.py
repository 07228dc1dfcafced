"""Transfers through a network that drops, repeats, reorders and damages frames."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arts.protocol.transfer import CHUNK_SIZE, PATIENCE, SILENCE, WINDOW, Receiver, Sender

LIMIT = 64 << 20


def receiver(**options: object) -> Receiver:
    return Receiver(max_bytes=LIMIT, **options)  # type: ignore[arg-type]


def test_small_data_is_one_chunk_and_complete_at_once() -> None:
    sender, target = Sender(b"state", 0.0), receiver()
    (chunk,) = sender.start()
    (confirmation,) = target.handle(chunk, 0.0)
    assert target.data == b"state"
    assert target.digest == sender.digest == hashlib.sha256(b"state").hexdigest()
    assert target.next_deadline() is None
    assert sender.handle(confirmation, 0.0) == []
    assert sender.done
    assert sender.next_deadline() is None
    assert sender.tick(99.0) == []


def test_empty_data_is_a_transfer_too() -> None:
    sender, target = Sender(b"", 0.0), receiver()
    target.handle(sender.start()[0], 0.0)
    assert target.data == b""


def test_window_bounds_what_is_under_way() -> None:
    data = random.Random(1).randbytes(3 * WINDOW + 17)
    sender, target = Sender(data, 0.0), receiver()
    under_way = sender.start()
    assert len(under_way) == WINDOW // CHUNK_SIZE
    most = credits = 0
    while under_way:
        most = max(most, len(under_way))
        for state in target.handle(under_way.pop(0), 0.0):
            credits += 1
            under_way += sender.handle(state, 0.0)
    assert target.data == data
    assert sender.done
    assert most <= WINDOW // CHUNK_SIZE
    assert credits == 3 * WINDOW // (WINDOW // 2) + 1  # every half window, and the end


def test_lost_chunk_is_asked_for_again_after_silence() -> None:
    data = bytes(range(256)) * 40
    sender, target = Sender(data, 0.0, chunk_size=1024), receiver()
    chunks = sender.start()
    for chunk in chunks[:3] + chunks[4:]:
        target.handle(chunk, 1.0)
    assert target.tick(1.0 + SILENCE - 0.01) == []
    assert target.next_deadline() == pytest.approx(1.0 + SILENCE)
    (request,) = target.tick(1.0 + SILENCE)
    assert sender.handle(request, 2.0) == [chunks[3]]
    target.handle(chunks[3], 2.0)
    assert target.data == data


def test_lost_only_chunk_is_repeated_by_the_sender() -> None:
    sender, target = Sender(b"state", 0.0), receiver()
    chunks = sender.start()
    assert sender.tick(SILENCE / 2) == []
    assert sender.next_deadline() == pytest.approx(SILENCE)
    assert sender.tick(SILENCE) == chunks
    target.handle(chunks[0], SILENCE)
    assert target.data == b"state"


def test_lost_confirmation_is_repeated() -> None:
    sender, target = Sender(b"state", 0.0), receiver()
    target.handle(sender.start()[0], 0.0)
    (question,) = sender.tick(SILENCE)
    (confirmation,) = target.handle(question, SILENCE)
    sender.handle(confirmation, SILENCE)
    assert sender.done


def test_both_sides_give_up_after_bounded_silence() -> None:
    sender, target = Sender(bytes(2048), 0.0, chunk_size=1024), receiver()
    target.handle(sender.start()[0], 0.0)
    assert sender.tick(PATIENCE) == []
    assert target.tick(PATIENCE) == []
    assert sender.failure == "no word from the receiver for 10 s"
    assert target.failure == "1 of 2 chunks, then nothing for 10 s"
    assert sender.next_deadline() is None
    assert target.next_deadline() is None
    assert sender.tick(99.0) == target.tick(99.0) == []
    chunk = Sender(bytes(2048), 0.0, chunk_size=1024).start()[0]
    assert target.handle(chunk, 99.0) == []
    assert target.data is None
    late = receiver()
    (state,) = late.handle(Sender(bytes(2048), 0.0).start()[0], 0.0)
    assert sender.handle(state, 99.0) == []


def test_too_large_fails_before_anything_is_kept() -> None:
    target = Receiver(max_bytes=10)
    target.handle(Sender(b"x" * 11, 0.0).start()[0], 0.0)
    assert target.failure == "11 bytes, the limit is 10"


def test_expected_digest_refuses_other_data() -> None:
    target = receiver(expected=hashlib.sha256(b"wanted").hexdigest())
    assert target.handle(Sender(b"other", 0.0).start()[0], 0.0) == []
    target.handle(Sender(b"wanted", 0.0).start()[0], 0.0)
    assert target.data == b"wanted"


def test_chunks_of_the_transfer_before_are_not_taken_for_this_one() -> None:
    before, now = Sender(b"before" * 100, 0.0), Sender(b"now" * 100, 0.0)
    target = Receiver(max_bytes=1000, but=before.digest)
    assert target.handle(before.start()[0], 0.0) == []
    assert (target.digest, target.next_deadline()) == (None, None)
    assert target.handle(now.start()[0], 0.0)
    assert target.data == b"now" * 100


def test_other_chunking_of_the_same_data_does_not_mix() -> None:
    data = bytes(4096)
    target = receiver()
    target.handle(Sender(data, 0.0, chunk_size=1024).start()[0], 0.0)
    target.handle(Sender(data, 0.0, chunk_size=2048).start()[1], 0.0)
    (state,) = target.tick(SILENCE)
    sender = Sender(data, 0.0, chunk_size=1024)
    sender.start()
    assert len(sender.handle(state, SILENCE)) == 3


def test_sound_chunks_of_a_lying_sender_fail_the_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(b"truth", 0.0)
    monkeypatch.setattr(sender, "_data", b"lies!")
    target = receiver()
    target.handle(sender.start()[0], 0.0)
    assert target.failure == "the data does not have the digest that was announced"


@pytest.mark.parametrize("cut", [0, 3, 20, 60])
def test_truncated_frames_are_ignored(cut: int) -> None:
    chunk = Sender(b"some data", 0.0).start()[0][:cut]
    assert receiver().handle(chunk, 0.0) == []
    assert Sender(b"some data", 0.0).handle(chunk, 0.0) == []


def test_impossible_chunk_size_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender(b"", 0.0)
    monkeypatch.setattr(sender, "_chunk_size", 0)
    assert receiver().handle(sender.start()[0], 0.0) == []


def test_chunk_beyond_the_end_is_ignored() -> None:
    sender = Sender(b"abc", 0.0)
    assert receiver().handle(sender._chunk(1), 0.0) == []


def test_confirmation_of_another_transfer_is_ignored() -> None:
    (state,) = receiver().handle(Sender(b"other", 0.0).start()[0], 0.0)
    sender = Sender(b"mine", 0.0)
    sender.start()
    assert sender.handle(state, 0.0) == []
    assert not sender.done


class Network:
    """Moves frames between two ends with faults drawn from a seed, in virtual time."""

    def __init__(self, seed: int, faults: float) -> None:
        self._random = random.Random(seed)
        self._faults = faults
        self.frames: list[bytes] = []

    def send(self, frames: list[bytes]) -> None:
        for frame in frames:
            if self._random.random() >= self._faults:
                self.frames.append(frame)
            elif self._random.random() < 0.3:
                self.frames += [frame, frame]
            elif self._random.random() < 0.5:
                damaged = bytearray(frame)
                damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
                self.frames.append(bytes(damaged))

    def take(self) -> list[bytes]:
        if self._random.random() < self._faults:
            self._random.shuffle(self.frames)
        taken, self.frames = self.frames, []
        return taken


@settings(max_examples=150, deadline=None)
@given(
    size=st.integers(0, 5000),
    chunk_size=st.integers(1, 700),
    window=st.integers(1, 3000),
    faults=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 1 << 32),
)
def test_any_network_ends_in_equal_data_or_failure(
    size: int, chunk_size: int, window: int, faults: float, seed: int
) -> None:
    data = random.Random(seed).randbytes(size)
    chunk_size = max(chunk_size, size // 40, 1)
    sender = Sender(data, 0.0, chunk_size=chunk_size, window=window)
    target = receiver(window=window)
    there, back, now = Network(seed, faults), Network(seed + 1, faults), 0.0
    there.send(sender.start())
    while True:
        for frame in there.take():
            back.send(target.handle(frame, now))
        for frame in back.take():
            there.send(sender.handle(frame, now))
        if there.frames or back.frames:
            continue
        deadlines = [d for d in (sender.next_deadline(), target.next_deadline()) if d is not None]
        if not deadlines:
            break
        now = max(now, min(deadlines))
        there.send(sender.tick(now))
        back.send(target.tick(now))
    assert target.data in (None, data)
    if faults == 0.0:
        assert target.data == data
    assert sender.done or sender.failure
    if sender.done:
        assert target.data == data
    if target.data is None and faults < 1.0:
        assert target.failure or sender.failure
