"""jobs/launch.sh: ranks are bound to cores where there are enough of them."""

import os
import pathlib
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MPIEXEC = os.environ.get("MPIEXEC", "mpirun")
BOUND, FREE = "--map-by numa --bind-to core", "--bind-to none --oversubscribe"


def shell(command, **environment):
    return subprocess.run(["bash", "-euc", f". {SOURCE}/jobs/launch.sh; {command}"], stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, **environment}).stdout.strip()


class Binding(unittest.TestCase):
    def test_only_fewer_cores_than_ranks_leave_ranks_unbound(self):
        for cores, ranks, expected in ((2, 1, BOUND), (2, 2, BOUND), (2, 3, FREE), (64, 64, BOUND), (64, 65, FREE), (1, 2, FREE)):
            self.assertEqual(shell(f"binding_options {cores} {ranks}"), expected, (cores, ranks))

    def test_the_user_can_refuse(self):
        self.assertEqual(shell("binding_options 8 2", BIND="none"), FREE)

    def test_hardware_threads_of_a_core_count_once(self):
        cpus = sorted(os.sched_getaffinity(0))
        # lscpu of a machine on which all CPUs that this process may use are threads of one core, beside one it may not use.
        rows = "".join(f"{cpu},7,0\n" for cpu in cpus) + f"{max(cpus) + 1},8,0\n"
        with tempfile.TemporaryDirectory() as folder:
            lscpu = pathlib.Path(folder) / "lscpu"
            lscpu.write_text(f"#!/bin/sh\ncat <<END\n# CPU,Core,Socket\n{rows}END\n")
            lscpu.chmod(0o755)
            self.assertEqual(shell("physical_cores", PATH=f"{folder}:{os.environ['PATH']}"), "1")

    def test_mpirun_takes_the_options_that_are_chosen_here(self):
        cores = int(shell("physical_cores"))
        self.assertGreaterEqual(cores, 1)
        for ranks in (1, cores, cores + 1):
            options = shell(f"binding_options {cores} {ranks}").split()
            done = subprocess.run([MPIEXEC, "--allow-run-as-root", *options, "-np", str(ranks), "true"], check=False, timeout=60)
            self.assertEqual(done.returncode, 0, options)


class GpuJob(unittest.TestCase):
    """jobs/slurm/gpu.sbatch outside of Slurm, with a program that only says how it was started."""

    def start(self, **environment):
        return subprocess.run(["bash", str(SOURCE / "jobs/slurm/gpu.sbatch"), "my.yaml", "--set", "run.seed=2"], text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "TDRM": "echo", **environment})

    def test_it_is_run_sbatch_on_cuda_devices(self):
        done = self.start(TDRM_HOME=str(SOURCE), LAUNCH="env RANK=0")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("\ndoctor .\n", done.stdout)
        self.assertIn("\nrun my.yaml --set run.seed=2 --set run.device=cuda\n", done.stdout)

    def test_without_its_neighbour_it_says_what_to_set(self):
        done = self.start(TDRM_HOME="/nowhere")
        self.assertEqual(done.returncode, 64)
        self.assertIn("Set TDRM_HOME", done.stdout)


if __name__ == "__main__":
    unittest.main()
