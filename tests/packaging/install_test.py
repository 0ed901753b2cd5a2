"""cmake --install: the program is put into an empty prefix, the prefix is moved, and everything works from there."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "app"))
import runs  # noqa: E402

BUILD = pathlib.Path(os.environ["TDRM_BUILD"])


def output_of(*words, **options):
    return subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False, **options)


class InstalledAndMoved(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-install-"))
        first, cls.prefix = cls.folder / "first", cls.folder / "a place/with a space"
        done = output_of("cmake", "--install", BUILD, "--prefix", first)
        assert done.returncode == 0, done.stdout
        assert "WARNING" not in done.stdout.upper(), done.stdout
        cls.prefix.parent.mkdir()
        first.rename(cls.prefix)
        cls.share = cls.prefix / "share/tdrm"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_what_a_user_needs_is_there(self):
        for name in ("bin/tdrm", "bin/tdrm-report", "lib/tdrm/libtdrm_gemm.so", "share/tdrm/configs/smoke.yaml", "share/tdrm/configs/tasks", "share/tdrm/data",
                     "share/tdrm/tests/text/data/qwen/tokenizer.json",
                     "share/tdrm/jobs/slurm/run.sbatch", "share/tdrm/jobs/launch.sh", "share/tdrm/tools/tdrm_report/page.css",
                     "share/tdrm/modulefiles/tdrm/0.1.0", "share/man/man1/tdrm.1", "share/bash-completion/completions/tdrm.bash",
                     "share/doc/tdrm/README.md", "share/doc/tdrm/CITATION.cff", "share/doc/tdrm/docs/cluster.md"):
            self.assertTrue((self.prefix / name).exists(), name)
        self.assertEqual(list(self.prefix.rglob("__pycache__")), [])

    def test_no_library_comes_from_the_source_or_build_folder(self):
        environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
        libraries = {name: output_of("ldd", self.prefix / name, env=environment).stdout
                     for name in ("bin/tdrm", "lib/tdrm/libtdrm_gemm.so")}
        for name, found in libraries.items():
            self.assertNotIn("not found", found, name)
            for place in (runs.SOURCE, BUILD):
                self.assertNotIn(f"{place}/", found, name)
        self.assertNotIn("libtorch", libraries["bin/tdrm"])
        if os.environ["TDRM_INSTALL_TORCH"] == "ON":
            self.assertIn(f"libtorch_cpu.so => {self.prefix}/lib/tdrm/libtorch_cpu.so", libraries["lib/tdrm/libtdrm_gemm.so"])

    def test_a_run_on_two_ranks_is_the_run_of_the_build(self):
        folder = self.folder / "run"
        words = [runs.MPIEXEC, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", 2, self.prefix / "bin/tdrm",
                 "run", self.share / "configs/smoke.yaml", "--set", f"run.dir={folder}"]
        done = output_of(*words, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(runs.differences(runs.reference(), folder), [])

    def test_without_its_module_the_program_says_which_file_is_missing(self):
        alone = self.folder / "alone/bin"
        alone.mkdir(parents=True)
        shutil.copy(self.prefix / "bin/tdrm", alone)
        self.assertEqual(output_of(alone / "tdrm", "explain", "run.dir").returncode, 0)
        done = output_of(alone / "tdrm", "run", self.share / "configs/smoke.yaml", "--set", f"run.dir={self.folder / 'missing'}")
        self.assertEqual(done.returncode, 69, done.stdout)
        self.assertIn("can't load libtdrm_gemm.so", done.stdout)

    def test_the_installed_report_starts(self):
        done = output_of(sys.executable, self.prefix / "bin/tdrm-report", "--help")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("HTML page", done.stdout)

    def test_the_modulefile_finds_the_prefix_where_it_was_moved(self):
        if shutil.which("tclsh") is None:
            self.skipTest("no tclsh, which reads modulefiles")
        stand_in = ("proc unknown {args} {puts [join $args |]}\n"
                    f"set ModulesCurrentModulefile {{{self.share}/modulefiles/tdrm/0.1.0}}\nsource $ModulesCurrentModulefile\n")
        done = output_of("tclsh", input=stand_in)
        said = [line.split("|") for line in done.stdout.splitlines()]
        self.assertIn(["prepend-path", "PATH", f"{self.prefix}/bin"], said)
        paths = {words[1]: words[2] for words in said if words[0] in ("setenv", "prepend-path")}
        self.assertEqual(sorted(paths), ["MANPATH", "PATH", "TDRM", "TDRM_HOME", "XDG_DATA_DIRS"])
        for path in paths.values():
            self.assertTrue(pathlib.Path(path).exists(), path)


class ConfiguredElsewhere(unittest.TestCase):
    """Builds by cmake alone, from a source folder without .deps."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-configure-"))
        self.source = self.folder / "source"
        self.source.mkdir()
        for name in ("CMakeLists.txt", "CMakePresets.json", "src", "include", "tests", "tools"):
            (self.source / name).symlink_to(runs.SOURCE / name)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def configure(self, *words, torch=os.environ["TORCH_DIR"]):
        environment = {name: value for name, value in os.environ.items() if name != "TORCH_DIR"}
        if torch:
            environment["TORCH_DIR"] = torch
        return output_of("cmake", "-S", self.source, "-B", self.folder / "build", *words, env=environment)

    def test_libraries_that_are_given_are_enough(self):
        for tests in ("OFF", "ON"):
            done = self.configure(f"-DTDRM_BUILD_TESTS={tests}")
            self.assertEqual(done.returncode, 0, done.stdout)
        cache = (self.folder / "build/CMakeCache.txt").read_text()
        self.assertIn("TDRM_INSTALL_TORCH:BOOL=OFF", cache)
        self.assertIn("TDRM_WERROR:BOOL=OFF", cache)

    def test_without_libtorch_it_says_what_to_do(self):
        done = self.configure("-DTDRM_BUILD_TESTS=OFF", torch=None)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("set TORCH_DIR", done.stdout.replace("\n ", ""))

    def test_every_preset_configures(self):
        for preset in ("release", "debug", "asan", "tsan", "cuda"):
            done = self.configure("--preset", preset, "-DTDRM_BUILD_TESTS=OFF")
            if preset == "cuda" and os.environ["TDRM_HAS_NCCL"] != "ON":
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("NCCL or the CUDA toolkit is missing", done.stdout)
            else:
                self.assertEqual(done.returncode, 0, f"{preset}: {done.stdout}")
            shutil.rmtree(self.folder / "build")


if __name__ == "__main__":
    unittest.main()
