"""Starts the real executable as its users do, and compares run folders. Shared by the tests of this folder.

TDRM and MPIEXEC in the environment name the executable and the launcher.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time

import h5py

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TDRM = pathlib.Path(os.environ.get("TDRM", SOURCE / "build/tdrm"))
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
SMOKE = SOURCE / "configs/smoke.yaml"

# Build, host and time: what equal runs may differ in.
NOT_RESULTS = {"history.jsonl", "timing.jsonl", "performance.json", ".lock"}


def command(*arguments, ranks=1):
    """The command line of a start. One rank needs no launcher."""
    words = [str(TDRM), *map(str, arguments)]
    if ranks > 1:
        words = [MPIEXEC, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks), *words]
    return words


def run_arguments(folder, config=SMOKE, settings=(), more=()):
    sets = [word for setting in (f"run.dir={folder}", *settings) for word in ("--set", setting)]
    return ["run", config, *sets, *more]


def tdrm(*arguments, ranks=1, timeout=300, **options):
    """Runs to the end. Standard output and error come together in `stdout`."""
    return subprocess.run(command(*arguments, ranks=ranks), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False, **options)


def finish(folder, ranks=1, **options):
    """Runs a run file to its end, which has to be a good one."""
    done = tdrm(*run_arguments(folder, **options), ranks=ranks)
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}"
    return done


def begin(folder, size_limit=10_000, **options):
    """A start that ends with 74 at the first big file, after stage.json was written: the stage stays unfinished."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_limit, size_limit))

    # Without a launcher Open MPI would start a daemon, whose own files are bigger.
    environment = {**os.environ, "OMPI_MCA_ess_singleton_isolated": "1"}
    done = tdrm(*run_arguments(folder, **options), preexec_fn=limit, env=environment)
    assert done.returncode == 74, f"exit code {done.returncode}:\n{done.stdout}"
    return done


def write_config(folder, text):
    path = pathlib.Path(folder) / "run.yaml"
    path.write_text(text)
    return path


def reference(config=SMOKE, settings=()):
    """Folder of an undisturbed run on one rank, made once for all tests of a build. Not to be written into."""
    built = [path.stat().st_mtime_ns for path in (TDRM, *sorted(TDRM.parent.glob("lib/*.so")))]
    key = hashlib.sha256(repr([pathlib.Path(config).read_bytes(), settings, built]).encode()).hexdigest()[:12]
    root = pathlib.Path(tempfile.gettempdir()) / f"tdrm-reference-{os.getuid()}"
    root.mkdir(exist_ok=True)
    folder = root / key
    with open(root / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in root.iterdir():  # of older builds
                if old.is_dir() and time.time() - old.stat().st_mtime > 6 * 3600:
                    shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(folder.with_suffix(".new"), ignore_errors=True)
            finish(folder.with_suffix(".new"), config=config, settings=settings)
            folder.with_suffix(".new").rename(folder)
        os.utime(folder)  # in use
    return folder


def files(folder):
    """Files of a run that hold results, by relative path."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and path.name not in NOT_RESULTS and name.parts[0] != ".ranks":
            found[str(name)] = path
    return found


def without_folder(text):
    """config.yaml without the line that names the run's folder, and without its hash."""
    return re.sub(r"^(# hash|  dir): .*\n", "", text, flags=re.MULTILINE)


def h5_content(path):
    """Every attribute and dataset of an HDF5 file, for telling where two files differ."""
    content = {}

    def visit(name, item):
        for key, value in item.attrs.items():
            content[f"{name}@{key}"] = repr(value)
        if isinstance(item, h5py.Dataset):
            data = item[()]
            content[name] = (item.dtype.str, item.shape, data.tobytes() if item.dtype != object else repr(data.tolist()))

    with h5py.File(path) as file:
        visit("/", file)
        file.visititems(visit)
    return content


def differences(one, other):
    """Everything in which two runs differ; empty if they are the same run. Files are compared by their bytes, which is
    stricter than by content."""
    ones, others = files(one), files(other)
    found = [f"only in {one}: {name}" for name in ones.keys() - others.keys()]
    found += [f"only in {other}: {name}" for name in others.keys() - ones.keys()]
    for name in sorted(ones.keys() & others.keys()):
        a, b = ones[name].read_bytes(), others[name].read_bytes()
        if name == "config.yaml":
            a, b = without_folder(a.decode()), without_folder(b.decode())
        if a == b:
            continue
        where = ""
        if name.endswith(".h5"):
            a, b = h5_content(ones[name]), h5_content(others[name])
            where = ": " + ", ".join(key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key))[:500]
        found.append(f"{name} differs{where}")
    return found


def lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


# Starts that are disturbed


def children(pid):
    """Process ids of the ranks below a launcher; the process itself if it has none."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = (entry / "stat").read_text().rsplit(")", 1)
            if int(status[1].split()[1]) == pid and status[0].endswith("(tdrm"):
                found.append(int(entry.name))
    return sorted(found) or [pid]


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds=60):
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Start:
    """A start of a run in the background."""

    def __init__(self, folder, ranks=1, **options):
        self.folder = pathlib.Path(folder)
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command(*run_arguments(folder, **options), ranks=ranks), stdout=self.log,
                                        stderr=subprocess.STDOUT, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.text = self.output()
        self.log.close()

    def running(self):
        return self.process.poll() is None

    def output(self):
        if self.log.closed:
            return self.text
        self.log.seek(0)
        return self.log.read()

    def wait(self, seconds=120):
        """Exit code, as a shell gives it."""
        code = self.process.wait(seconds)
        return code if code >= 0 else 128 - code

    def wait_for(self, condition, seconds=120):
        """Waits while it runs. Whether the condition came true."""
        return wait_until(lambda: condition() or not self.running(), seconds) and condition()

    def wait_for_events(self, number, stage=None):
        """Waits until so many new paths were seen in the folder since a stage began: progress that doesn't depend on
        the machine's speed. False if the run ends before."""
        if stage is not None and not self.wait_for((pathlib.Path(self.folder) / stage / "stage.json").exists):
            return False
        seen = set(paths(self.folder))
        known = len(seen)

        def enough():
            seen.update(paths(self.folder))
            return len(seen) - known >= number

        return self.wait_for(enough)


def paths(folder):
    found = []
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError):
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    found.append(entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
    return found


def half_done(folder):
    """What a save was doing when it was killed."""
    return [path for path in paths(folder) if path.endswith(".tmp")]


def unfinished(folder):
    """Stages that are begun, but not done."""
    records = {path.parent.name: path.read_text() for path in pathlib.Path(folder).glob("*/stage.json")}
    return {name for name, text in records.items() if not json.loads(text)["done"]}


def run_with_kills(folder, kills, seed, stages=(None,), rank_counts=(1, 2, 4), events=12, **options):
    """Starts a run again and again on changing numbers of ranks, each time killing a rank or the launcher, and lets it
    end after `kills` of them, which are spread over `stages`, in the order of the run. Returns the stages that kills of
    a running start left unfinished, one set each, and how many of them left a half-written file."""
    chance = random.Random(seed)
    hit, within = [], 0
    pids = set()
    for stage in sorted(chance.choices(range(len(stages)), k=kills)):
        with Start(folder, chance.choice(rank_counts), **options) as start:
            # Sometimes at once, mostly somewhere in the middle.
            if not start.wait_for_events(chance.randint(1, events), stages[stage]):
                assert start.wait() == 0, start.output()
                break
            time.sleep(chance.random() * 0.02)
            ranks = children(start.process.pid)
            pids.update(ranks)
            victim = chance.choice([start.process.pid, *ranks])
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            code = start.wait()
            assert code in (0, 137), (code, start.output())
            if code == 137:
                hit.append(unfinished(folder))
                within += bool(half_done(folder))
    # Ranks whose launcher was killed die by themselves; until then the next start waits for the run's lock.
    finish(folder, ranks=chance.choice(rank_counts), **options)
    assert not any(map(alive, pids)), "a rank outlived its launcher"
    return hit, within
