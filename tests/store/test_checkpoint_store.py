"""Checkpoints on disk: kept in whole or not at all, shared, bounded, and never believed unread."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from arts.errors import NotFound, SnapshotError, StoreError
from arts.store.checkpoints import Checkpoint, CheckpointStore, MissingPieces

Make = Callable[..., CheckpointStore]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Opens the same directory, as often as a test likes."""

    def open_it(max_bytes: int = 1 << 20, **settings: object) -> CheckpointStore:
        return CheckpointStore(tmp_path, max_bytes=max_bytes, **settings)  # type: ignore[arg-type]

    return open_it


@pytest.fixture
def store(make: Make) -> CheckpointStore:
    """An empty one."""
    return make()


def noise(number: int, size: int = 1000) -> bytes:
    """Bytes that nothing makes smaller, always the same."""
    seed = hashlib.sha256(str(number).encode()).digest()
    return hashlib.shake_128(seed).digest(size)


def save(
    store: CheckpointStore, *contents: bytes, module: str = "m", **given: object
) -> Checkpoint:
    """Keep a checkpoint of these pieces. ``send``: which of them come along; all by default."""
    digests = [hashlib.sha256(piece).digest() for piece in contents]
    sent = given.pop("send", contents)
    assert isinstance(sent, tuple)
    return store.save(
        module,
        digests,
        {hashlib.sha256(piece).digest(): piece for piece in sent},
        generation=1,
        program="p",
        size=sum(map(len, contents)),
        taken_at=float(str(given.pop("at", 1.0))),
    )


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_what_is_kept_is_read(store: CheckpointStore, make: Make) -> None:
    kept = save(store, b"one", b"two", b"one")
    assert kept.number == 1
    for opened in (store, make()):
        assert opened.read("m", 1) == b"onetwoone"
        assert opened.checkpoints("m") == [kept]
        assert opened.modules() == ["m"]


def test_equal_pieces_are_kept_once(store: CheckpointStore) -> None:
    save(store, noise(1), noise(2))
    before = store.bytes_used
    save(store, noise(1), noise(3), send=(noise(3),))
    assert before < store.bytes_used < 2 * before
    save(store, noise(1), module="n", send=())
    assert store.read("n", 1) == noise(1)


def test_what_is_not_here_is_missing(store: CheckpointStore, tmp_path: Path) -> None:
    with pytest.raises(MissingPieces, match="1 of 2 pieces"):
        save(store, b"one", b"two", send=(b"one",))
    assert files(tmp_path) == []


def test_only_the_newest_are_kept(make: Make) -> None:
    store = make(keep=2)
    for number in range(4):
        save(store, noise(number), b"common")
    assert store.numbers("m") == [3, 4]
    assert store.bytes_used == make(keep=2).bytes_used
    assert store.read("m", 4) == noise(3) + b"common"
    with pytest.raises(NotFound, match="no checkpoint 1"):
        store.read("m", 1)


def test_the_oldest_of_all_makes_room(make: Make) -> None:
    store = make(max_bytes=3500, keep=9)
    save(store, noise(1), module="a", at=1.0)
    save(store, noise(2), module="b", at=2.0)
    save(store, noise(3), module="a", at=3.0)
    save(store, noise(4), module="b", at=4.0)
    assert (store.numbers("a"), store.numbers("b")) == ([2], [1, 2])


def test_room_is_never_made_of_what_the_new_one_builds_on(make: Make) -> None:
    store = make(max_bytes=3500, keep=9)
    save(store, noise(1), noise(2))
    save(store, noise(3))
    save(store, noise(1), noise(4), send=(noise(4),))
    assert store.read("m", 3) == noise(1) + noise(4)
    assert store.numbers("m") == [2, 3]


def test_a_full_store_says_so_and_stays_as_it_was(make: Make, tmp_path: Path) -> None:
    store = make(max_bytes=2500)
    save(store, noise(1), module="a")
    save(store, noise(2), module="b")
    before = files(tmp_path)
    with pytest.raises(StoreError, match="no room for a checkpoint"):
        save(store, noise(3), module="a")
    assert files(tmp_path) == before
    assert store.read("a", 1) == noise(1)


@pytest.mark.parametrize("sync", [False, True])
def test_a_full_disk_says_so_and_leaves_nothing(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    store = make(sync=sync)
    save(store, noise(1))
    before = files(tmp_path)
    replace = Path.replace
    room = 1

    def full(self: Path, target: Path) -> Path:
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        save(store, noise(2), noise(3))
    monkeypatch.undo()
    assert files(tmp_path) == before
    assert save(store, noise(2), noise(3)).number == 2


def test_damage_is_found_and_can_be_repaired(store: CheckpointStore, tmp_path: Path) -> None:
    save(store, b"one", b"two", b"three")
    for path in files(tmp_path / "pieces")[:2]:
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SnapshotError, match="checkpoint 1 is damaged: piece"):
        store.read("m", 1)
    with pytest.raises(MissingPieces, match="2 of 3"):
        save(store, b"one", b"two", b"three", send=())
    assert save(store, b"one", b"two", b"three").number == 2
    assert store.read("m", 2) == b"onetwothree"
    assert store.read("m", 1) == b"onetwothree"


def test_a_piece_in_the_place_of_another_is_damage(store: CheckpointStore, tmp_path: Path) -> None:
    save(store, b"one", b"two")
    one, two = files(tmp_path / "pieces")
    one.write_bytes(two.read_bytes())
    with pytest.raises(SnapshotError, match="has another digest"):
        store.read("m", 1)


@pytest.mark.parametrize("byte", [0, 40])
def test_a_damaged_manifest_is_known_as_such(
    store: CheckpointStore, make: Make, tmp_path: Path, byte: int
) -> None:
    for number in range(2):
        save(store, noise(number))
    path = files(tmp_path / "modules")[1]
    data = bytearray(path.read_bytes())
    data[byte] ^= 1
    path.write_bytes(data)
    store = make(keep=1)
    assert store.numbers("m") == [1, 2]
    assert [found.number for found in store.checkpoints("m")] == [1]
    with pytest.raises(SnapshotError, match="its manifest is"):
        store.read("m", 2)
    assert save(store, noise(3)).number == 3
    assert store.numbers("m") == [3]


def test_a_manifest_of_another_kind_is_damaged(make: Make, tmp_path: Path) -> None:
    save(make(), b"one")
    content = b"\xc0"
    path = files(tmp_path / "modules")[0]
    path.write_bytes(hashlib.sha256(content).digest() + content)
    assert make().checkpoints("m") == []


def test_what_a_crash_left_is_swept_away(
    store: CheckpointStore, make: Make, tmp_path: Path
) -> None:
    save(store, b"one")
    before = files(tmp_path)
    (tmp_path / "pieces" / "ab").mkdir()
    (tmp_path / "pieces" / "ab" / ("ab" * 32)).write_bytes(b"never in a manifest")
    (tmp_path / "pieces" / "ab" / ".part-x").write_bytes(b"half")
    (tmp_path / "modules" / "m" / ".part-x").write_bytes(b"half")
    (tmp_path / "modules" / "m" / "notes").write_bytes(b"of somebody else")
    assert make().read("m", 1) == b"one"
    (tmp_path / "modules" / "m" / "notes").unlink()
    assert files(tmp_path) == before


def test_a_module_is_forgotten(store: CheckpointStore, make: Make, tmp_path: Path) -> None:
    save(store, noise(1), noise(2))
    save(store, noise(1), module="n")
    store.forget("m")
    store.forget("nobody")
    assert store.modules() == make().modules() == ["n"]
    assert store.bytes_used == make().bytes_used < 1100
    store.forget("n")
    assert files(tmp_path) == []


def test_a_checkpoint_is_given_to_another(store: CheckpointStore) -> None:
    save(store, noise(1), noise(2), at=5.0)
    adopted = store.adopt("n", "m", 1)
    assert (adopted.number, adopted.taken_at) == (1, 5.0)
    store.forget("m")
    assert store.read("n", 1) == noise(1) + noise(2)


def test_a_directory_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot open the checkpoints"):
        CheckpointStore(tmp_path / "file", max_bytes=1)


def test_it_needs_no_event_loop() -> None:
    code = "import sys, arts.store.checkpoints; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
