"""A grid submitted as jobs: by submitit on this machine, and to a SLURM that is started for it."""

# What submitit returns has no types.
# pyright: reportArgumentType=false

import json
import subprocess

import pytest

from ncscope.errors import DataError, NcscopeError
from ncscope.grids.run import is_done
from ncscope.grids.slurm import Share, submit
from ncscope.grids.spec import read_spec
from tests.grids.grids import until
from tests.grids.slurm_node import slurm_node, why_not

GRID = """
[grid]
method = "coop"
data = "toy:textures"
seed = [1, 2]
[fixed]
recipe = "toy"
shots = 1
epochs = 1
"""


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "spec.toml").write_text(GRID)
    return tmp_path / "spec.toml"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # submitit leaves its children to the system
def test_jobs_share_a_grid_and_end_with_every_run_done_once(spec, tmp_path):
    out = tmp_path / "out"
    jobs = submit(spec, out=out, jobs=2, share=Share(minutes=5), cluster="local")
    states = [[one.state for one in job.result()] for job in jobs]
    assert len(states) == 2
    assert all(is_done(run, out) for run in read_spec(spec))
    assert [sum(found[k] == "done" for found in states) for k in (0, 1)] == [1, 1]


def test_a_wrong_grid_is_told_before_anything_is_submitted(tmp_path):
    (tmp_path / "a.toml").write_text("[grid]\ndata = 3")
    with pytest.raises(DataError, match=r"grid\.data must be a text"):
        submit(tmp_path / "a.toml", out=tmp_path / "out", jobs=1, share=Share())
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="`jobs` is 0; expected 1 or more"):
        submit("toy-figure1", out=tmp_path / "out", jobs=0, share=Share())


def test_without_a_cluster_it_says_so(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NcscopeError, match="no SLURM here: "):
        submit(spec, out=tmp_path / "out", jobs=1, share=Share())


def test_what_slurm_says_when_it_refuses_is_one_line(spec, tmp_path, monkeypatch):
    said = "sbatch: error: Batch job submission failed: Invalid partition name specified"
    for name in ("sbatch", "srun"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(NcscopeError) as error:
        submit(spec, out=tmp_path / "out", jobs=2, share=Share(partition="none"))
    assert str(error.value) == f"SLURM refused the jobs: {said}"


def test_without_submitit_it_says_what_to_install(spec, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    with pytest.raises(NcscopeError, match=r'pip install "ncscope\[slurm\]"'):
        submit(spec, out=tmp_path / "out", jobs=1, share=Share())


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    if reason := why_not():
        pytest.skip(reason)
    (tmp_path / "slurm").mkdir()
    with slurm_node(tmp_path / "slurm") as conf:
        monkeypatch.setenv("SLURM_CONF", str(conf))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_slurm_does_the_grid(spec, tmp_path):
    out = tmp_path / "out"
    jobs = submit(spec, out=out, jobs=2, share=Share(minutes=5, cpus=1))
    assert len({job.job_id.partition("_")[0] for job in jobs}) == 1  # one array
    states = [[one.state for one in job.result()] for job in jobs]
    assert {state for found in states for state in found} <= {"done", "was done", "elsewhere"}
    assert all(is_done(run, out) for run in read_spec(spec))


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_run_whose_job_slurm_ended_goes_on_in_the_next_submission(spec, tmp_path):
    spec.write_text(GRID.replace("[1, 2]", "1").replace("epochs = 1", "epochs = 40\nlog_every = 1"))
    (run,), out, share = read_spec(spec), tmp_path / "out", Share(minutes=5, cpus=1)
    log = out / run.name / "log.jsonl"
    (first,) = submit(spec, out=out, jobs=1, share=share)
    until(lambda: log.exists() and '"step": 5' in log.read_text())
    first.cancel(check=True)
    until(lambda: not squeue())
    assert not is_done(run, out)
    (second,) = submit(spec, out=out, jobs=1, share=share)
    assert [one.state for one in second.result()] == ["done"]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == sorted(set(steps))
    assert len(steps) == 40
    assert list(out.glob("*.unfinished*")) == []  # nor was it begun anew


@pytest.mark.slow
@pytest.mark.usefixtures("slurm")
def test_a_job_uses_its_time_past_slurms_warning_and_ends_without_a_traceback(spec, tmp_path):
    spec.write_text(
        GRID.replace("[1, 2]", "1").replace("epochs = 1", "epochs = 5000\nlog_every = 1")
    )
    (run,), out = read_spec(spec), tmp_path / "out"
    log = out / run.name / "log.jsonl"
    (job,) = submit(spec, out=out, jobs=1, share=Share(minutes=5, cpus=1))
    until(lambda: log.exists() and '"step": 5' in log.read_text())
    scancel(job, "USR2")
    before = log.stat().st_size
    until(lambda: log.stat().st_size > before + 500)  # the run goes on
    scancel(job, "TERM")  # as at the end of a job's time
    assert job.result() == []
    assert "Traceback" not in (job.stderr() or "")
    assert "ncscope: the job was ended; another goes on with what is left" in job.stderr()
    assert list((out / "locks").glob("[!.]*")) == []


def scancel(job, sign):
    subprocess.run(["scancel", f"--signal={sign}", job.job_id], check=True, timeout=20)


@pytest.mark.usefixtures("slurm")
def test_what_a_real_slurm_refuses_is_one_line(spec, tmp_path):
    with pytest.raises(NcscopeError, match=r"^SLURM refused the jobs: .*Invalid partition"):
        submit(spec, out=tmp_path / "out", jobs=2, share=Share(partition="none"))


def squeue():
    done = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
