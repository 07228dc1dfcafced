"""What is said of prepared programs adds up."""

import pytest

from arts.migratable import NotWasm, Options, Poll, Profile, Refused, abi, describe, prepare
from arts.migratable.binary import custom_section
from arts.migratable.report import report

from .test_programs import PROGRAMS

QUEENS = (PROGRAMS / "queens.wasm").read_bytes()


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_is_a_choice_of_options(profile: Profile) -> None:
    options = Options.of(profile)
    assert options.profile is profile
    assert describe(prepare(QUEENS, options)).options == options
    assert (options.poll is Poll.NONE) is (profile is Profile.BLOCKING_ONLY)


@pytest.mark.parametrize("profile", Profile)
def test_a_report_adds_up(profile: Profile) -> None:
    prepared = prepare(QUEENS, Options.of(profile))
    facts, described = report(prepared), describe(prepared)
    assert facts.options == described.options
    assert facts.points == described.point_count
    assert facts.suspendable == len(described.functions) <= facts.functions
    assert facts.polled + facts.blocking + facts.callers == facts.suspendable
    assert (facts.source_size, facts.prepared_size) == (len(QUEENS), len(prepared))
    assert facts.growth == (len(prepared) - len(QUEENS)) / len(QUEENS)
    sizes = [frame.size for frame in facts.frames]
    assert sizes == sorted(described.frame_sizes, reverse=True)
    assert (facts.polls == 0) is (profile is Profile.BLOCKING_ONLY)


def test_nests_are_polled_less() -> None:
    quick, slow = (
        report(prepare(QUEENS, Options.of(profile)))
        for profile in (Profile.THROUGHPUT, Profile.RESPONSIVE)
    )
    assert quick.polls < slow.polls
    assert quick.calls == slow.calls


def test_no_report_on_what_is_not_prepared() -> None:
    with pytest.raises(Refused, match="not prepared"):
        report(QUEENS)
    section = describe(prepare(QUEENS)).section()
    with pytest.raises(NotWasm, match="without its source"):
        report(QUEENS[:8] + section)
    assert custom_section(abi.SECTION, b"")[0] == section[0]
