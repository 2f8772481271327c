"""`hybrid pairs`: what is here, a pair of two models without a hybrid, and away with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.models.manifest import BUNDLED
from hybrid.schema import SYSTEMS
from tests.models.references.conftest import tiny_llama
from tests.models.two_tokenizers import save_any_pair

Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.fixture
def own_zoo(tiny_zoo: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny zoo that pairs can be added to."""
    folder = Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))
    monkeypatch.setenv("HYBRID_ZOO", str(folder))
    return folder


@pytest.fixture
def llama(tmp_path: Path, tiny_tokenizer_file: Path) -> Path:
    folder = tmp_path / "llama"
    tiny_llama().save_pretrained(folder)
    shutil.copyfile(tiny_tokenizer_file, folder / "tokenizer.json")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def test_the_bundled_pair_states_its_licence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(BUNDLED))
    assert "\tlicence apache-2.0\t" in run("pairs").stdout


@pytest.mark.parametrize("command", [("pairs",), ("pairs", "list")])
def test_pairs_as_text_and_json(run: Run, command: tuple[str, ...]) -> None:
    name, sizes, tasks, limit, licence, hybrid = run(*command).stdout.rstrip("\n").split("\t")
    assert (name, tasks, limit) == ("tiny", "translate-en-de, summarize", "up to 160 prompt tokens")
    assert sizes.startswith("llm 0.")
    assert sizes.count("M t5") == 2
    assert (licence, hybrid) == ("licence not stated", "with a hybrid")
    (manifest,) = json.loads(run(*command, "--json").stdout)
    assert manifest["name"] == "tiny"
    assert set(manifest["parameters"]) == set(SYSTEMS)


@pytest.mark.parametrize(("layer", "says"), [
    (1, "with a hybrid that reads layer 1 of 2"), ((1, 2), "with a hybrid that reads layers 1 and 2 of 2"),
    (None, "with a hybrid"),
])  # fmt: skip
def test_which_layers_a_hybrid_reads_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, layer, says: str
) -> None:
    save_any_pair(tmp_path / "own", "llama", "gpt2", layer=layer)
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert run("pairs").stdout.rstrip("\n").split("\t")[-1] == says


def test_no_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    result = run("pairs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"notice: There are no pairs in {tmp_path}.\n"
    assert json.loads(run("pairs", "--json").stdout) == []


def test_unreadable_manifest_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, failure: Failure
) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "pair.json").write_text('{"format": 1, "na')
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert str(tmp_path / "torn" / "pair.json") in failure(run("pairs"))


def test_a_damaged_pair_is_told_and_no_name_steers_the_terminal(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    shutil.copytree(tiny_zoo / "tiny", tmp_path / "a\x1b[2J")
    shutil.copytree(tiny_zoo / "tiny", tmp_path / "b\x9b")
    shutil.copytree(tiny_zoo / "tiny", tmp_path / "c")
    (tmp_path / "b\x9b" / "pair.json").write_text("[]")
    (tmp_path / "c" / "slm" / "config.json").write_text("[]")
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    result = run("pairs")
    assert result.stdout.startswith("a?[2J\t")
    assert result.stdout.count("\n") == 1
    assert result.stderr.startswith("notice: ")
    assert "b?/pair.json is damaged" in result.stderr
    assert f"{tmp_path / 'c' / 'slm' / 'config.json'} is damaged" in result.stderr
    assert (result.stdout + result.stderr).replace("\n", "").replace("\t", "").isprintable()


def test_a_pair_of_a_folder_and_of_a_pairs_model(
    own_zoo: Path, llama: Path, run: Run, failure: Failure
) -> None:
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", "tiny/slm")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(
        "mine\tllm 0.1M llama, slm 0.1M t5\ttranslate-en-de, summarize\tup to 128 "
    )
    assert result.stdout.endswith("\tlicence mit (llm), not stated (slm)\tno hybrid yet\n")
    how = f'makes it, of a recipe with [llm] from = "{llama}" and [slm] from = "tiny/slm".'
    assert how in result.stderr
    assert not list((own_zoo / "mine").rglob("*.safetensors"))
    assert run("pairs").stdout.count("\n") == 2
    for system in ("llm", "slm"):
        answer = run("generate", "Hello.", "--pair", "mine", "--system", system, "--engine", "torch",
                     "--max-new-tokens", "3")  # fmt: skip
        assert answer.exit_code == 0, answer.output
    assert how in failure(run("generate", "Hello.", "--pair", "mine"))
    assert "There is a pair mine already" in failure(
        run("pairs", "add", "mine", "--llm", str(llama), "--slm", "tiny/slm")
    )
    assert run("pairs", "remove", "mine").exit_code == 0
    assert (own_zoo / "tiny").is_dir()
    assert not (own_zoo / "mine").exists()


def test_a_model_that_changed_since_the_pair_was_added(
    own_zoo: Path, llama: Path, run: Run, failure: Failure
) -> None:
    run("pairs", "add", "mine", "--llm", str(llama), "--slm", "tiny/slm")
    tiny_llama(initializer_range=0.03).save_pretrained(llama)
    message = failure(run("generate", "Hello.", "--pair", "mine", "--system", "llm"))
    assert f"of {llama} has changed since the pair was made" in message


def test_tasks_of_its_own(own_zoo: Path, llama: Path, run: Run) -> None:
    words = "Translate into French: "
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", str(llama),
                 "--task", f"translate-en-fr={words}", "--task", "brief:en-de=In German: ",
                 "--max-prompt-tokens", "64")  # fmt: skip
    assert result.exit_code == 0, result.output
    manifest = json.loads((own_zoo / "mine" / "pair.json").read_text())
    assert manifest["llm"]["reference"] == str(llama)
    assert manifest["tasks"]["translate-en-fr"]["prefix"] == words
    assert manifest["prompts"]["llm"]["translate-en-fr"]["before"] == words
    assert manifest["max_prompt_tokens"] == 64
    brief = manifest["tasks"]["brief"]
    assert (brief["source_language"], brief["target_language"], brief["kind"]) == ("en", "de", "summary")
    assert brief["prefix"] == "In German: "


def test_words_around_a_text(own_zoo: Path, llama: Path, run: Run) -> None:
    words = r"translate-en-de=English: {text}\nGerman:"
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", str(llama), "--task", words)
    assert result.exit_code == 0, result.output
    manifest = json.loads((own_zoo / "mine" / "pair.json").read_text())
    around = manifest["tasks"]["translate-en-de"]
    assert (around["prefix"], around["suffix"]) == ("English: ", "\nGerman:")
    for role in ("llm", "slm"):
        around = manifest["prompts"][role]["translate-en-de"]
        assert (around["before"], around["after"]) == ("English: ", "\nGerman:")


def test_a_pairs_model_keeps_the_words_it_was_trained_with(own_zoo: Path, llama: Path, run: Run) -> None:
    words = "summarize=In German: "
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", "tiny/slm", "--task", words)
    assert "notice: tiny/slm keeps the words for summarize that it was trained with.\n" in result.stderr
    prompts = json.loads((own_zoo / "mine" / "pair.json").read_text())["prompts"]
    assert prompts["llm"]["summarize"]["before"] == "In German: "
    assert prompts["slm"]["summarize"]["before"] == "summarize: "
    same = run("pairs", "add", "other", "--llm", "tiny/llm", "--slm", "tiny/slm", "--task", "summarize")
    assert "keeps the words" not in same.stderr


def test_a_text_stands_once_among_the_words(own_zoo: Path, llama: Path, run: Run) -> None:
    words = "summarize={text} and {text}"
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", str(llama), "--task", words)
    assert result.exit_code == 2
    assert "{text} 2 times" in result.stderr
    assert [path.name for path in own_zoo.iterdir()] == ["tiny"]


def test_languages_of_a_task_are_two(own_zoo: Path, llama: Path, run: Run) -> None:
    result = run("pairs", "add", "mine", "--llm", str(llama), "--slm", str(llama), "--task", "brief:german=x")
    assert result.exit_code == 2
    assert "'german' are no two languages; write SOURCE-TARGET, such as brief:en-de" in result.stderr
    assert [path.name for path in own_zoo.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["../x", ".x", "a/b", "", "a b"])
def test_names_that_are_none(own_zoo: Path, run: Run, failure: Failure, name: str) -> None:
    message = failure(run("pairs", "add", "--llm", "tiny/llm", "--slm", "tiny/slm", "--", name))
    assert "is no name of a pair" in message
    assert "to remove; your own are: tiny." in failure(run("pairs", "remove", "--", name))


def test_what_cannot_be_a_pair_leaves_nothing(
    own_zoo: Path, llama: Path, tmp_path: Path, run: Run, failure: Failure
) -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=384, **sizes)).save_pretrained(tmp_path / "bert")
    shutil.copyfile(llama / "tokenizer.json", tmp_path / "bert" / "tokenizer.json")
    for llm, more, reason in (
        (str(tmp_path / "bert"), (), "is a BertModel, which only reads"),
        (
            str(llama),
            ("--max-prompt-tokens", "200"),
            f"longer than {llama} reads: 128, with room for an answer",
        ),
        ("no-such-model", (), "There is no model 'no-such-model'"),
        (str(llama), ("--task", "a task!"), "a task!"),
    ):
        assert reason in failure(run("pairs", "add", "mine", "--llm", llm, "--slm", "tiny/slm", *more))
        assert [path.name for path in own_zoo.iterdir()] == ["tiny"]


def test_a_bundled_pair_stays(
    tmp_path: Path, run: Run, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HYBRID_ZOO")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    name = run("pairs").stdout.partition("\t")[0]
    assert f"{name} came with the product" in failure(run("pairs", "remove", name))
