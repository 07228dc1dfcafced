"""One program in several forms: which one is meant, and what is learnt about it."""

from itertools import combinations
from pathlib import Path

import pytest
import wasmtime

from arts.migratable import Options, Profile, describe, prepare
from arts.model import EVERY_ABILITY, Ability, FormWish, ProfileChoice, Program
from arts.programs import forms, preparing
from arts.programs import store as store_module
from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.programs.fake_web import APPS

SLOW = 0.02
QUICK = 0.001


def wish(profile: ProfileChoice | None) -> FormWish:
    """A form, as a module may ask for it."""
    return FormWish(profile=profile)


# ---- pure


@pytest.mark.parametrize(
    ("choice", "slowest", "profile"),
    [
        ("auto", 0.0, "throughput"),
        ("auto", 0.002, "throughput"),
        ("auto", 0.0021, "responsive"),
        ("throughput", 1.0, "throughput"),
        ("responsive", 0.0, "responsive"),
        ("blocking-only", 1.0, "blocking-only"),
    ],
)
def test_what_was_slow_once_polls_more(choice: ProfileChoice, slowest: float, profile: str) -> None:
    assert forms.decide(choice, slowest, 0.002) == profile


ABILITIES = [
    frozenset(chosen) for count in range(4) for chosen in combinations(sorted(Ability), count)
]


def test_every_form_has_a_name_of_its_own() -> None:
    options = {forms.options_for(p, abilities) for p in Profile for abilities in ABILITIES}
    assert len({forms.name_of(chosen) for chosen in options}) == len(options) > 10


@pytest.mark.parametrize(
    "abilities", ABILITIES, ids=lambda found: ",".join(sorted(found)) or "none"
)
@pytest.mark.parametrize("profile", Profile)
def test_a_form_needs_no_more_than_engines_can(
    profile: Profile, abilities: frozenset[Ability], counter: bytes
) -> None:
    options = forms.options_for(profile, abilities)
    described = describe(prepare(counter, options))
    assert described.options == options
    assert options.profile is profile
    assert forms.needs(described) <= abilities


def test_engines_that_can_do_everything_get_what_is_best() -> None:
    assert forms.options_for(Profile.RESPONSIVE, EVERY_ABILITY) == Options()


def test_a_program_without_memory_needs_no_second_one() -> None:
    wasm = bytes(wasmtime.wat2wasm('(module (func (export "_start") (loop (br 0))))'))
    assert Ability.MULTI_MEMORY not in forms.needs(describe(prepare(wasm)))


# ---- in the store


async def test_forms_stand_beside_each_other(tmp_path: Path, counter: bytes) -> None:
    store = ProgramStore(tmp_path)
    made: dict[ProfileChoice, Program] = {}
    choices: tuple[ProfileChoice, ...] = ("responsive", "throughput", "blocking-only")
    for choice in choices:
        made[choice] = await store.add(counter, name="mine", form=wish(choice))
        assert made[choice].profile == choice
        assert describe(store.read(made[choice].digest)).options.profile == choice
    assert len({program.digest for program in made.values()}) == 3
    again = ProgramStore(tmp_path)
    for choice in choices:
        assert again.known("mine", None, wish(choice)) == made[choice]
        assert again.known("", made[choice].digest, wish("auto")) == made[choice]
        assert again.known("", made[choice].source_digest, wish(choice)) == made[choice]
    assert [(program.profile, names) for program, names in again.programs()] == [
        (choice, ["mine"]) for choice in choices
    ]


async def test_a_name_is_enough_for_another_form(store: ProgramStore, counter: bytes) -> None:
    first = await store.add(counter, name="mine")
    assert first.profile == "throughput"
    assert store.known("mine", None, wish("responsive")) is None
    assert (await store.resolve("mine", None, wish("responsive"))).profile == "responsive"
    assert (await store.resolve("mine", None)) == first


async def test_the_default_is_a_setting(tmp_path: Path, counter: bytes) -> None:
    store = ProgramStore(tmp_path, ProgramSettings(profile="responsive"))
    assert (await store.add(counter)).profile == "responsive"
    assert (await store.add(counter, form=wish("auto"))).profile == "throughput"


async def test_a_slow_program_polls_more_from_its_next_start_on(
    tmp_path: Path, counter: bytes
) -> None:
    store = ProgramStore(tmp_path)
    slow = await store.add(counter, name="mine")
    store.learn_pause(slow.digest, QUICK)
    assert store.known("mine", None) == slow
    store.learn_pause(slow.digest, SLOW)
    assert store.known("mine", None) is None
    quick = await store.resolve("mine", None)
    assert quick.profile == "responsive"
    assert store.known("mine", None, wish("throughput")) == slow, "who insists gets it"
    assert store.known("", slow.digest) == slow, "what runs goes on as it is"
    again = ProgramStore(tmp_path)
    assert again.known("mine", None) == quick, "also after a restart"


async def test_nothing_is_learnt_from_other_forms(store: ProgramStore, counter: bytes) -> None:
    for choice in ("responsive", "blocking-only"):
        program = await store.add(counter, form=FormWish(profile=choice))
        store.learn_pause(program.digest, SLOW)
    store.learn_pause("0" * 64, SLOW)
    narrow = FormWish(abilities=frozenset({Ability.LINKING}))
    counting = await store.add(counter, form=narrow)
    assert (counting.profile, counting.needs) == ("throughput", {Ability.LINKING})
    store.learn_pause(counting.digest, SLOW)
    assert (await store.add(counter)).profile == "throughput"


async def test_what_is_learnt_once_is_written_once(
    store: ProgramStore, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = await store.add(counter)
    store.learn_pause(program.digest, SLOW)
    monkeypatch.setattr("os.replace", None)
    store.learn_pause(program.digest, 2 * SLOW)


async def test_a_new_pipeline_prepares_what_has_a_name_again(
    tmp_path: Path, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await ProgramStore(tmp_path).add(counter, name="mine")
    ProgramStore(tmp_path).learn_pause(old.digest, SLOW)
    monkeypatch.setattr(store_module, "PIPELINE_VERSION", "another")
    new = await ProgramStore(tmp_path).resolve("mine", None)
    assert (new.profile, new.source_digest) == ("responsive", old.source_digest)
    monkeypatch.undo()
    assert ProgramStore(tmp_path).known("", old.digest) == old, "forms of others are kept"


async def test_a_program_that_cannot_move_has_no_form(store: ProgramStore) -> None:
    program = await store.add((APPS / "faulty" / "externref.wasm").read_bytes())
    assert (program.profile, program.needs) == (None, frozenset())


async def test_progress_is_told_with_the_name_that_was_asked_for(
    store: ProgramStore, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(
        _: object, source: bytes, options: Options, progress: preparing.Progress
    ) -> bytes:
        progress(3, 10)
        return prepare(source, options)

    told: list[store_module.Preparing] = []
    store.on_progress = told.append
    monkeypatch.setattr(preparing.Preparer, "prepare", slow)
    source = (await store.add(counter, name="mine")).source_digest
    await store.resolve("mine", None, wish("responsive"))
    assert told == [("mine", source, 3, 10)] * 2
