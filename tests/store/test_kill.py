"""kill -9 at any moment loses no finished record, and every run resumes to the same set of records."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from hybrid.store import StoredRun

KILLS = 50

# One light interpreter that forks a writer, kills it, looks at what it left, and forks the next to go on.
NURSERY = """
    import filelock  # here, or each child would spend its life on it
    import json, os, pathlib, random, signal, sys, time
    from dataclasses import replace
    from hybrid import store
    from hybrid.store.reading import key_of

    root, kills = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    moments = random.Random(1)
    model = store.load_run("latest", root / "model")
    text = model.records[0].generation.text * 500  # lines of several pages, which a kill can tear
    records = [replace(r, generation=replace(r.generation, text=text)) for r in model.records]
    keys = list(map(key_of, records))
    root = root / "runs"

    def write(tell, run_id):
        run = replace(model.run, finished_at=None)
        writer = store.resume(run_id, root) if run_id else store.create(run, model.examples, root)
        os.write(tell, f"{writer.run.run_id}\\n".encode())
        left = [i for i, key in enumerate(keys) if key not in writer.done]
        while left:
            batch, left = left[: 1 + len(left) % 3], left[1 + len(left) % 3 :]
            writer.append([records[i] for i in batch])
            os.write(tell, "".join(f"{i}\\n" for i in batch).encode())
        writer.finish({}, model.run.finished_at)

    def child(run_id, kill):
        hear, tell = os.pipe()
        pid = os.fork()
        if pid == 0:
            write(tell, run_id)
            os._exit(0)
        os.close(tell)
        said = b""
        if kill:  # so far on its way, and a moment later
            far = moments.choice((0, moments.randrange(len(keys) // 2)))
            while said.count(b"\\n") < far and (more := os.read(hear, 1 << 16)):
                said += more
            time.sleep(moments.uniform(0.0, 0.002 if far else 0.05))
            os.kill(pid, signal.SIGKILL)
        with os.fdopen(hear, "rb") as lines:
            told = (said + lines.read()).decode().splitlines()
        assert os.waitpid(pid, 0)[1] in (0, signal.SIGKILL)
        return told

    killed = midway = finished = 0
    run_id, promised = "", set()
    while killed < kills or run_id:
        told = child(run_id, kill=killed < kills)
        killed += killed < kills
        listing = store.list_runs(root)
        assert not listing.problems, listing.problems
        run_id = told[0] if told else run_id
        if not run_id:  # killed before it had said which run it began
            continue
        promised |= {keys[int(i)] for i in told[1:]}
        (listed,) = [one for one in listing.runs if one.run.run_id == run_id]
        loaded = store.load_run(run_id, root)
        stored = set(map(key_of, loaded.records))
        assert not loaded.problems, loaded.problems
        assert promised <= stored, promised - stored
        assert listed.records == len(stored)
        midway += 0 < len(stored) < len(keys)
        if listed.complete:
            assert stored == set(keys)
            finished += 1
            run_id, promised = "", set()
    print(json.dumps({"killed": killed, "runs": len(listing.runs), "midway": midway, "finished": finished}))
    """


def test_kill_9_loses_no_finished_record(
    fake_run: Callable[..., StoredRun],
    started: Callable[..., object],
    python: Callable[..., subprocess.Popen[bytes]],
    tmp_path: Path,
) -> None:
    model = fake_run(examples=150, repeats=2)
    with started(model, tmp_path / "model", len(model.records)) as writer:
        writer.finish({}, "2026-11-23T02:00:00+00:00")
    process = python(NURSERY, str(tmp_path), str(KILLS))
    output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    counts = json.loads(output)
    assert counts["killed"] == KILLS
    assert counts["finished"] > 0
    assert counts["midway"] > KILLS / 5  # many came while records were being written
