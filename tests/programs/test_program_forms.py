"""One program in several forms: which one is meant, and what is learnt about it."""

from pathlib import Path

import pytest

from arts.migratable import Options, Profile, describe
from arts.model import Ability, FormWish, ProfileChoice, Program
from arts.programs import forms
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


@pytest.mark.parametrize("profile", Profile)
def test_every_form_has_a_name_of_its_own(profile: Profile) -> None:
    names = {forms.name_of(Options.of(other)) for other in Profile}
    assert len(names) == len(Profile)
    assert forms.name_of(Options.of(profile)) in names


def test_a_poll_of_a_flag_needs_atomics() -> None:
    assert Ability.ATOMICS in forms.needs(Options.of(Profile.RESPONSIVE))
    assert Ability.ATOMICS not in forms.needs(Options.of(Profile.BLOCKING_ONLY))


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
