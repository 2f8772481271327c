"""Profiles: files that come back as they were, what is damaged, and whose machine they are of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.measuring.environment import environment
from hybrid.schema import CPU, Device, Gpu, Hardware
from hybrid.sizing import Costs, Profile, load_profile, profile_names, read_profiles, save_profile, stranger
from hybrid.sizing import profile as profiles


def test_a_profile_comes_back(made_up, tmp_path: Path) -> None:
    profile = made_up(step=(Costs(1, 0, {"fixed": 1e-6}),))
    path = save_profile(profile, tmp_path)
    assert path == tmp_path / "devices" / "made-up.json"
    assert load_profile("made-up", tmp_path) == profile
    path.rename(path.with_name("renamed.json"))
    assert load_profile(None, tmp_path) == replace(profile, name="renamed")


def test_the_newest_is_the_default(made_up, tmp_path: Path) -> None:
    save_profile(made_up(name="b-old"), tmp_path)
    save_profile(made_up(name="a-new", created_at="2026-11-24T00:00:00+00:00"), tmp_path)
    assert load_profile(None, tmp_path).name == "a-new"
    assert profile_names(tmp_path) == ["a-new", "b-old"]
    with pytest.raises(StoreError, match=r"no profile 'c' in .*; available: a-new, b-old\."):
        load_profile("c", tmp_path)


def test_results_folder_of_the_environment(made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "here"))
    with pytest.raises(
        StoreError, match=r"There are no profiles in .*here/devices\. `hybrid device` measures one"
    ):
        load_profile()
    save_profile(made_up())
    assert (tmp_path / "here" / "devices" / "made-up.json").is_file()
    assert load_profile().name == "made-up"


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 101])
def test_names_that_are_no_file_names(made_up, tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a profile"):
        save_profile(made_up(name=name), tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.pop("step"), "step"),
        (lambda row: row.update(format=2), "format 2 and this version reads 1"),
        (lambda row: row.update(threads="one"), "threads"),
        (lambda row: row.update(engine="abacus"), "engine is 'abacus'"),
        (lambda row: row.update(dtype="float8"), "dtype is 'float8'"),
        (lambda row: row.update(dtype="x" * 20_000), "dtype is 'x{80}', not"),
        (lambda row: row.update(tokenize=[0, 0]), "tokenize has 2 numbers, not 3"),
        (lambda row: row.update(detokenize=[0, 0, -1e-9]), "detokenize takes -1e-09 s"),
        (lambda row: row.update(step=[]), "sizes of step are"),
        (lambda row: row["step"].reverse(), "sizes of step are .* do not increase"),
        (lambda row: row["step"][0].update(batch=0), "step is of 0 prompts"),
        (lambda row: row["step"][-1].update(batch=10**400), "step is of 10{19} prompts"),
        (lambda row: row["encode"][-1].update(tokens=10**400), "encode is of .* prompts of 10{19} tokens"),
        (lambda row: row["encode"][0].update(tokens=0), "encode is of 1 prompts of 0 tokens"),
        (lambda row: row["encode"][1]["seconds"].update(weights=-1e-12), "encode takes -1e-12 s"),
        (lambda row: row["encode"][1]["seconds"].update(weights=1e300), "encode takes 1e\\+300 s"),
        (lambda row: row["machine"].update(bandwidth=0), "machine.bandwidth has 0"),
        (lambda row: row["machine"].update(rates=[]), "machine.rates is .*, not pairs"),
        (lambda row: row["machine"].update(rates=[[1, 2, 3]]), "machine.rates is .*, not pairs"),
        (lambda row: row["machine"].update(rates=[[8, 1e9], [1, 1e9]]), "machine.rates .* do not increase"),
        (lambda row: row["machine"]["by_working_set"].append([1e7, 0.0]), "by_working_set has 0.0"),
    ],
)
def test_damaged_files_are_named(made_up, tmp_path: Path, change, reason: str) -> None:
    path = save_profile(made_up(), tmp_path)
    row = json.loads(path.read_text())
    change(row)
    path.write_text(json.dumps(row))
    with pytest.raises(StoreError, match=reason) as caught:
        load_profile("made-up", tmp_path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1, "na', "[" * 100_000, '{"format": 1, "fit_error": NaN}']
)
def test_what_is_no_profile(made_up, tmp_path: Path, text: str) -> None:
    save_profile(made_up(), tmp_path).write_text(text)
    with pytest.raises(StoreError, match=r"made-up\.json cannot be read: .* measures it anew"):
        load_profile("made-up", tmp_path)


def test_a_damaged_profile_hides_no_other(made_up, tmp_path: Path) -> None:
    save_profile(made_up(), tmp_path)
    save_profile(made_up(name="zero", tokenize=(0.0,), created_at="2026-12-24T00:00:00+00:00"), tmp_path)
    sound, (problem,) = read_profiles(tmp_path)
    assert [profile.name for profile in sound] == ["made-up"]
    assert "zero.json cannot be read: tokenize has 1 numbers" in problem
    assert load_profile(None, tmp_path).name == "made-up"


@pytest.fixture
def own(made_up) -> Profile:
    """A profile that was measured here and now."""
    return made_up(environment=environment(CPU, ""))


def on(profile: Profile, **changes: object) -> Profile:
    """The same on a machine that differs in some of its hardware."""
    here = profile.environment
    return replace(profile, environment=replace(here, hardware=replace(here.hardware, **changes)))


def test_a_profile_of_this_machine_is_its_own(own: Profile) -> None:
    assert stranger(own) is None


def test_a_profile_of_another_machine_of_that_name(own: Profile) -> None:
    reported = stranger(on(own, family="0", model="1"))
    assert reported is not None
    assert reported.label == "profile of another machine"
    here = own.environment.hardware
    reason = f"{own.environment.cpu}: family 0 model 1 against family {here.family} model {here.model} here"
    assert reported.reason == reason
    assert reported.sentence == (
        f"This is a profile of another machine: {reason}. How far its predictions are off here is not known; "
        "`hybrid device` measures a profile of this machine in half a minute."
    )


def test_a_profile_that_does_not_say_its_machine(made_up) -> None:
    reported = stranger(made_up())
    assert reported is not None
    assert reported.reason == "it says no more of its own than A CPU"


def test_a_profile_of_a_gpu_that_is_not_here(own: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Gpu("NVIDIA H200", "9.0", 150 * 10**9, 132)
    profile = replace(on(own, gpu=card), device=Device("cuda"))
    monkeypatch.setattr(profiles, "hardware", lambda _: Hardware(gpu=replace(card, multiprocessors=66)))
    foreign = stranger(profile)
    assert foreign is not None
    assert foreign.reason == "its NVIDIA H200 is not here"
    monkeypatch.setattr(profiles, "hardware", lambda _: Hardware(gpu=card))
    assert stranger(profile) is None


def test_a_profile_of_other_libraries(own: Profile) -> None:
    here = own.environment
    older = replace(own, environment=replace(here, packages={**here.packages, "torch": "1.0"}))
    reported = stranger(older)
    assert reported is not None
    assert reported.label == "profile of other library versions"
    assert reported.reason == f"torch 1.0, here {here.packages['torch']}"


def test_a_profile_of_a_busy_machine(own: Profile) -> None:
    assert stranger(replace(own, cpu_share=0.97)) is None
    doubt = stranger(replace(own, cpu_share=0.3))
    assert doubt is not None
    assert (doubt.label, doubt.reason) == (
        "profile of a busy machine",
        "others had the core for 70 % of the time",
    )


def test_this_machines_own_profile_goes_before_newer_ones(own: Profile, tmp_path: Path) -> None:
    save_profile(replace(own, name="own", created_at="2026-11-01T00:00:00+00:00"), tmp_path)
    save_profile(replace(on(own, model="another"), name="newer"), tmp_path)
    assert load_profile(None, tmp_path).name == "own"


def test_a_digit_that_was_changed_is_found(made_up, tmp_path: Path) -> None:
    path = save_profile(made_up(), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"fit_error": 0.05', b'"fit_error": 0.01'))
    with pytest.raises(StoreError, match="its checksum does not fit"):
        load_profile("made-up", tmp_path)
    path.write_bytes(data.partition(b',\n "crc32"')[0] + b"\n}\n")  # as earlier versions wrote it
    assert load_profile("made-up", tmp_path) == made_up()
