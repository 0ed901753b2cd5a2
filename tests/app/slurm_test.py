"""jobs/slurm/run.sbatch on a real Slurm of one node: a job that hits its time limit requeues itself, resumes, and ends with
the same run. Installs Slurm from Debian if it is missing and root may; needs several minutes."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import runs

SKIP = 77
PORT = 26817

CONFIG = """
ClusterName=tdrmtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={slurmd_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
MpiDefault=none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""

# Long enough, also on a machine several times as fast, for more than one stretch of 15 seconds: Slurm warns 45 seconds before the limit
# of a minute.
SETTINGS = ["stages.base.epochs=100", "stages.rule.updates=200", "stages.rule.optimizer.warmup=0"]


def install():
    needed = ("slurmctld", "slurmd", "munged", "sbatch")
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    if all(shutil.which(name) for name in needed):
        return True
    if os.getuid() != 0 or not shutil.which("apt-get"):
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "slurmctld", "slurmd", "slurm-client", "munge"],
                   check=False, env=environment, stdout=subprocess.DEVNULL)
    return all(shutil.which(name) for name in needed)


class Cluster:
    """munged, slurmctld and slurmd of one node, all private to a folder."""

    def __init__(self, folder):
        self.folder = folder
        self.daemons = []

    def __enter__(self):
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host = os.uname().nodename.split(".")[0]
        config = CONFIG.format(folder=self.folder, host=host, port=PORT, slurmd_port=PORT + 1, cpus=os.cpu_count())
        (self.folder / "slurm.conf").write_text(config)
        os.environ["SLURM_CONF"] = str(self.folder / "slurm.conf")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self.start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={self.folder}/munge.socket",
                   f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log", f"--seed-file={self.folder}/munge.seed")
        assert runs.wait_until((self.folder / "munge.socket").exists, 20), self.logs()
        self.start("slurmctld", "-D", "-f", self.folder / "slurm.conf")
        self.start("slurmd", "-D", "-f", self.folder / "slurm.conf")
        assert runs.wait_until(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), 60), self.logs()
        return self

    def __exit__(self, *_):
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            daemon.wait(30)

    def start(self, *words):
        log = open(self.folder / f"{words[0]}.out", "w")
        self.daemons.append(subprocess.Popen([str(word) for word in words], stdout=log, stderr=log))

    def ask(self, *words):
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()

    def logs(self):
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self.folder.glob("*.log")) + sorted(self.folder.glob("*.out")))


def run_job(cluster, folder):
    """Submits with a limit of a minute; returns the job's log when it is through."""
    log = cluster.folder / "job.log"
    ranks = min(2, os.cpu_count())
    submitted = cluster.ask("sbatch", "--parsable", "--time=1", "--signal=B:USR1@45", f"--ntasks-per-node={ranks}", f"--output={log}", f"--chdir={runs.SOURCE}",
                            str(runs.SOURCE / "jobs/slurm/run.sbatch"), str(runs.SMOKE), *[str(w) for w in runs.run_arguments(folder, settings=SETTINGS)[2:]])
    assert submitted.isdigit(), submitted + cluster.logs()
    state, deadline = "", time.monotonic() + 1500
    while time.monotonic() < deadline:
        state = cluster.ask("squeue", "-h", "-j", submitted, "-o", "%T")
        if state in ("", "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"):
            break
        time.sleep(2)
    return log.read_text() + f"\nlast state: {state}\n" + cluster.ask("scontrol", "show", "job", submitted)


def main():
    if not install():
        print("skipped: Slurm isn't installed, and only root may install it")
        return SKIP
    with tempfile.TemporaryDirectory(prefix="tdrm-slurm-") as name:
        root = pathlib.Path(name)
        root.chmod(0o755)
        with Cluster(root) as cluster:
            os.environ["TDRM"] = str(runs.TDRM)
            # On a busy machine ranks that wait must give way.
            os.environ["LAUNCH"] = f"{runs.MPIEXEC} --oversubscribe --bind-to none -np {min(2, os.cpu_count())}"
            text = run_job(cluster, root / "run")
            print(text)
            starts = text.count("run.sbatch: job ")
            assert text.count("tdrm ended with 75") >= 1, cluster.logs()
            assert text.count("tdrm ended with 0,") == 1, cluster.logs()
            assert starts >= 2 and "TIMEOUT" not in text, starts
        runs.finish(root / "undisturbed", settings=SETTINGS)
        found = runs.differences(root / "undisturbed", root / "run")
        assert not found, found
        print(f"ok: {starts} starts, the same run as an undisturbed one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
