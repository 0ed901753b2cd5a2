"""What survives lost power, kills where names can't be exchanged, and full disks.

durability_preload.cpp writes down, in order, what a program does to the files below a folder; `problems_of` plays that back on a disk that
keeps only what was synced. PRELOAD, WRITER (checkpoint_writer) and TDRM in the environment name what is built.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
PRELOAD = os.environ.get("PRELOAD", BUILD / "tests/libdurability_preload.so")
WRITER = os.environ.get("WRITER", BUILD / "tests/checkpoint_writer")
TDRM = os.environ.get("TDRM", BUILD / "tdrm")

# Times, hosts and signs of life: nobody is promised that they last.
NOT_RESULTS = {"history.jsonl", "timing.jsonl", "performance.json", ".lock", ".ranks"}

RUN = """
run: {dir: none, seed: 1}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 64, value: 16, rl: 16, dev: 8, test: 8}}
stages:
  base:  {do: sft, model: {layers: 1, width: 16, heads: 2}, problems: sft, epochs: 1, batch: 16, optimizer: {lr: 0.004},
          eval: {problems: dev, every: 2}}
  rolls: {do: rollout, policy: base, problems: value, samples: 2}
  td:    {do: value, init: base, data: rolls, target: {kind: td_lambda}, epochs: 1}
  rule:  {do: rl, policy: base, problems: rl, batch: {problems: 4, samples: 2}, updates: 2, eval: {problems: dev, every: 1}, save_rollouts: 1}
  bon:   {do: best_of_n, data: rolls, values: [td], at: [last]}
  score: {do: evaluate, policies: [base, rule], problems: test, samples: 2}
"""


def start(command, folder, **variables):
    """Runs a program to its end on the disk that the variables (DISK_...) describe; what it did is in `events`."""
    assert os.path.exists(PRELOAD), f"{PRELOAD} isn't built"
    log = pathlib.Path(f"{folder}.log")
    log.unlink(missing_ok=True)
    environment = {**os.environ, "LD_PRELOAD": str(PRELOAD), "OMPI_MCA_ess_singleton_isolated": "1", "DISK_FOLDER": str(folder),
                   "DISK_LOG": str(log), **{name: str(value) for name, value in variables.items()}}
    done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60, check=False)
    done.events = [line.split("\t") for line in log.read_text().splitlines()] if log.exists() else []
    return done


def save_until(folder, update, **variables):
    """Goes on from what is in the folder, with everything saved before `update`. 0 ends with the first save."""
    begin = f"mkdir\t{folder}/update-{update or ''}"
    return start([WRITER, folder, "forever"], folder, **{"DISK_KILL": 1, "DISK_COUNT": begin, **variables})


def run(folder, **variables):
    config = folder.with_suffix(".yaml")
    config.write_text(RUN)
    return start([TDRM, "run", config, "--set", f"run.dir={folder}/run"], folder, **variables)


def contents(folder):
    """Length and hash of every file: unittest would look for differences between the bytes for minutes."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}


def size_of(files):
    return sum(size for size, _ in files.values())


def results(folder):
    return {name: data for name, data in contents(folder).items() if NOT_RESULTS.isdisjoint(pathlib.Path(name).parts)}


def in_parallel(work, items):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # most of a start is waiting
        return list(pool.map(work, items))


def parent(path):
    return path.rpartition("/")[0]


def has_no_name_yet(path):
    """Whether nobody looks for what is there: a temporary or an old file or folder, or something in it."""
    return any(part.endswith((".tmp", ".old")) for part in path.split("/"))


def is_result(path):
    return NOT_RESULTS.isdisjoint(path.split("/"))


class Disk:
    """What isn't on the disk yet while a program runs, and where that breaks a promise."""

    def __init__(self):
        self.known = set()  # paths
        self.dirty = set()  # files with bytes that aren't on the disk
        self.names = set()  # paths whose entry in their folder isn't
        self.files = set()  # all that were ever written
        self.promised = ""  # a folder that has to be synced before anything else happens
        self.problems = []
        self.homeless = {}  # folders whose own names weren't on the disk when something got a name in them: the first such

    def below(self, paths, folder):
        return sorted(path for path in paths if path == folder or path.startswith(folder + "/"))

    def happens(self, event, path, other=""):
        if not is_result(final(path)):
            return
        if self.promised and (event, path) != ("sync", self.promised):
            self.problems.append(f"{event} of {path} before a new name in {self.promised} is on the disk")
        self.promised = ""
        getattr(self, event)(*([path, other] if other else [path]))

    def write(self, path, _):
        self.dirty.add(path)
        self.files.add(path)
        if path not in self.known:
            self.mkdir(path)
        if path.endswith("/manifest.json.tmp"):  # each rank has synced what it wrote: rank 0 couldn't for others
            beside = self.below(self.dirty - {path}, parent(path))
            self.problems += [f"{late} isn't on the disk when the manifest is written" for late in beside if is_result(late)]

    def mkdir(self, path):
        self.known.add(path)
        self.names.add(path)

    def sync(self, path):
        self.dirty.discard(path)
        self.names = {name for name in self.names if parent(name) != path}

    def remove(self, path):
        if not has_no_name_yet(path):
            self.problems.append(f"{path} is removed where others may find a part of it")
        self.known, self.dirty, self.names = self.known - {path}, self.dirty - {path}, self.names - {path}

    def rename(self, path, other):
        self.name(path, other)
        self.move({path: other}, dropped=other)

    def exchange(self, path, other):
        self.name(path, other)
        self.move({path: other, other: path})

    def name(self, path, other):
        """Before it gets its name all of it has to be on the disk, and its name before anything else happens."""
        if not has_no_name_yet(parent(other)):
            self.promised = parent(other)
        if has_no_name_yet(other):
            return
        self.problems += [f"{late} isn't on the disk when {other} gets its name" for late in self.below(self.dirty, path)]
        self.problems += [f"the name of {late} isn't on the disk when {other} gets its" for late in self.below(self.names - {path}, path)]
        self.homeless = {**{late: other for late in sorted(self.names) if other.startswith(late + "/")}, **self.homeless}
        base = other.rpartition("/")[2]
        if base.startswith("update-") or base == "stage.json":  # they vouch for the files beside them
            beside = [late for late in self.below(self.dirty, parent(other)) if not has_no_name_yet(late)]
            self.problems += [f"{late} isn't on the disk when {other} gets its name" for late in beside]

    def move(self, targets, dropped=None):
        def moved(path):
            for one, other in targets.items():
                if path == one or path.startswith(one + "/"):
                    return other + path[len(one) :]
            return path

        for kind in ("known", "files", "dirty", "names"):
            paths = getattr(self, kind)
            setattr(self, kind, {moved(path) for path in paths - set(self.below(paths, dropped) if dropped else ())})
        self.names.update(targets.values())
        self.known.update(targets.values())


def replayed(events):
    disk = Disk()
    for event in events:
        disk.happens(*event)
    if disk.promised:
        disk.problems.append(f"a new name in {disk.promised} isn't on the disk at the end")
    for path in sorted(disk.dirty | (disk.names & disk.files)):
        if not has_no_name_yet(path):
            disk.problems.append(f"{path} isn't on the disk at the end")
    return disk


def final(path):
    return path.removesuffix(".tmp")


def needed_syncs(events):
    """What has to be synced, before or after it gets its name: folders, and files that aren't empty."""
    written = {final(path) for event, path, *_ in events if event == "write"}
    folders = {final(parent(path)) for _, path, *_ in events}
    return sorted({final(path) for event, path, *_ in events if event == "sync" and is_result(final(path))} & (written | folders))


class DurabilityTest(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-durability-")).resolve()
        self.addCleanup(shutil.rmtree, self.root)

    def check_log(self, done, folder, least):
        """All that is there was seen being written, no promise was broken, and no needed sync could be missed."""
        disk = replayed(done.events)
        self.assertEqual(disk.problems, [])
        there = {str(folder / name) for name, (size, _) in results(folder).items() if size > 0}
        self.assertEqual(there - disk.known, set(), "written by calls that aren't looked at")
        needed = needed_syncs(done.events)
        self.assertGreaterEqual(len(needed), least, needed)
        for path in needed:
            others = [event for event in done.events if event[0] != "sync" or final(event[1]) != path]
            lost = replayed(others)
            self.assertTrue(lost.problems or lost.homeless, f"{path} needn't be synced?")

    def folder(self, name):
        path = self.root / name
        path.mkdir()
        return path

    def saved(self):
        """Two states, one round of saves apart, and what each commit holds."""
        before, after = self.folder("before"), self.folder("after")
        save_until(before, 5)
        save_until(after, 6)
        whole = {4: contents(before / "update-4"), 5: contents(after / "update-5")}
        self.assertNotEqual(whole[4], whole[5])
        self.assertEqual([contents(before / "last-0"), contents(after / "last-0")], [whole[4], whole[5]])
        return before, after, whole

    def copy(self, folder, name):
        return pathlib.Path(shutil.copytree(folder, self.root / name))

    def check_state(self, folder, whole, last, newest):
        self.assertEqual(contents(folder / "last-0"), whole[last])
        self.assertEqual(contents(folder / f"update-{newest}"), whole[newest])
        left = [path.name for path in folder.iterdir() if has_no_name_yet(path.name)]
        self.assertEqual((left, (folder / "update-5").exists()), ([], newest == 5))

    def test_every_file_of_a_commit_is_on_the_disk_before_its_folder_gets_its_name_and_the_name_before_anything_follows(self):
        for name, way in (("one", {}), ("other", {"DISK_NO_EXCHANGE": 1})):
            folder = self.folder(name)
            done = save_until(folder, 4, **way)
            self.assertEqual(done.returncode, -signal.SIGKILL, done.stdout)
            self.check_log(done, folder, least=20)
            exchanges = sum(event[0] == "exchange" for event in done.events)
            asides = sum(event[0] == "rename" and event[2].endswith(".old") for event in done.events)
            self.assertEqual((exchanges, asides), (0, 2) if way else (2, 0))

    def undisturbed(self):
        """Folder and events of a run, made once for all tests."""
        cls = type(self)
        if not hasattr(cls, "run_made"):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-durability-")).resolve()
            cls.addClassCleanup(shutil.rmtree, folder)
            (folder / "run").mkdir()
            cls.run_made = folder / "run", run(folder / "run")
        folder, done = cls.run_made
        self.assertEqual(done.returncode, 0, done.stdout)
        return folder, done

    def test_all_that_a_run_names_is_on_the_disk_before(self):
        folder, done = self.undisturbed()
        self.check_log(done, folder, least=60)
        named = {event[2].rpartition("/")[2] for event in done.events if event[0] == "rename"}
        self.assertLessEqual({"stage.json", "results.json", "config.yaml", "trajectories.h5", "labels.h5", "update-000004"}, named)

    def test_an_exported_folder_is_on_the_disk_before_it_gets_its_name(self):
        folder = self.folder("export")
        done = start([TDRM, "export", self.undisturbed()[0] / "run/rule", folder / "hf"], folder)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.check_log(done, folder, least=4)

    def test_the_names_of_folders_are_on_the_disk_before_what_is_in_them(self):
        self.assertEqual(replayed(self.undisturbed()[1].events).homeless, {})

    def test_without_exchanging_renames_a_kill_leaves_the_old_or_the_new_state(self):
        before, after, whole = self.saved()
        events = save_until(self.copy(before, "events"), 6, DISK_NO_EXCHANGE=1).events
        places = [[event[0], *(path.removeprefix(f"{self.root}/events/") for path in event[1:])] for event in events]
        new = places.index(["rename", "last-0.tmp", "last-0"])
        newest = places.index(["rename", "update-5.tmp", "update-5"])
        self.assertEqual(places[new - 2], ["rename", "last-0", "last-0.old"])
        changes = [i for i, place in enumerate(places) if place[0] in ("mkdir", "rename", "remove")]
        self.assertGreater(len(changes), 20)

        def killed(at):
            folder = self.copy(before, f"killed-{at}")
            done = save_until(folder, 6, DISK_NO_EXCHANGE=1, DISK_KILL=at + 1, DISK_COUNT="\t")
            return folder, done, sum((folder / name).exists() for name in ("last-0", "last-0.old")), save_until(folder, 0)

        for at, (folder, done, states, again) in zip(changes, in_parallel(killed, changes)):
            with self.subTest(before=places[at]):
                self.assertEqual((done.returncode, len(done.events)), (-signal.SIGKILL, at))
                self.assertGreater(states, 0)
                self.assertEqual(again.returncode, -signal.SIGKILL, again.stdout)
                self.check_state(folder, whole, 5 if at > new else 4, 5 if at > newest else 4)

        def killed_again(at):
            folder = self.copy(before, f"again-{at}")
            save_until(folder, 6, DISK_NO_EXCHANGE=1, DISK_KILL=new + 1, DISK_COUNT="\t")
            self.assertFalse((folder / "last-0").exists())
            done = save_until(folder, 6, DISK_KILL=at + 1, DISK_COUNT="\t")
            return folder, done, save_until(folder, 0)

        back = set()
        for at, (folder, done, again) in enumerate(in_parallel(killed_again, range(8))):
            with self.subTest(event_of_putting_the_old_state_back=at):
                self.assertEqual((done.returncode, again.returncode), (-signal.SIGKILL,) * 2, done.stdout + again.stdout)
                self.check_state(folder, whole, 4, 5)
                back.add(any(event[0] == "rename" for event in done.events))
        self.assertEqual(back, {False, True}, "the kills don't meet the moment when the old state comes back")

    def test_a_full_disk_at_any_byte_leaves_the_last_state_whole(self):
        before, after, whole = self.saved()
        events = save_until(self.copy(before, "events"), 6).events
        first, second = (sum(int(event[2]) for event in events if event[0] == "write" and f"/{name}.tmp/" in event[1])
                         for name in ("update-5", "last-0"))
        grid = [0, 1, *((first + second) * i // 11 for i in range(1, 11)), first - 1, first, first + 1, first + second - 1]
        disks = [{"DISK_BYTES": size} for size in grid[::2]] + [{"DISK_BYTES": size, "DISK_LATE": 1} for size in grid[::4]]
        disks += [{"DISK_BYTES": size, "DISK_REFUSALS": 1} for size in grid[1::2]]

        def filled(disk):
            folder = self.copy(before, "full" + "".join(f"-{name}-{value}" for name, value in disk.items()))
            done = save_until(folder, 6, **disk)
            found = contents(folder)
            return folder, disk, done, found, save_until(folder, 7)

        for folder, disk, done, found, again in in_parallel(filled, disks):
            with self.subTest(**disk):
                self.assertNotIn(done.returncode, (0, -signal.SIGKILL), done.stdout)
                self.assertIn("Free some space", done.stdout)
                new = {f"update-5/{name}": data for name, data in whole[5].items()} if disk["DISK_BYTES"] >= first else {}
                wanted = {**contents(before), **new}
                self.assertEqual(found.keys(), wanted.keys(), "something was lost or left")
                self.assertEqual(found, wanted)
                self.assertEqual(again.returncode, -signal.SIGKILL)
                self.assertEqual(contents(folder / "last-0"), contents(folder / "update-6"))

    def test_a_run_on_a_full_disk_ends_with_74_and_goes_on_to_the_same_results(self):
        whole, _ = self.undisturbed()
        size = size_of(contents(whole))

        def filled(disk):
            folder = self.folder("full" + "".join(f"-{name}-{value}" for name, value in disk.items()))
            return folder, disk, run(folder, **disk), run(folder)

        disks = [{"DISK_BYTES": size * part // 8} for part in (1, 5)] + [{"DISK_BYTES": size // 4, "DISK_LATE": 1}]
        for folder, disk, full, again in in_parallel(filled, disks):
            with self.subTest(**disk):
                self.assertEqual((full.returncode, again.returncode), (74, 0), full.stdout + again.stdout)
                self.assertIn("Free some space", full.stdout)
                self.assertEqual(self.run_results(folder), self.run_results(whole))

    def run_results(self, folder):
        """Without config.yaml, which names the folder."""
        return {name: data for name, data in results(folder).items() if name != "run/config.yaml"}


def setUpModule():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # an exception on a full disk ends the writer


if __name__ == "__main__":
    unittest.main()
