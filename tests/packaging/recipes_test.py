"""The Spack recipe and the container's definition name what CMake and tools/install.sh name."""

import ast
import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
RECIPE = SOURCE / "tools/packaging/spack/packages/tdrm/package.py"
DEFINITION = SOURCE / "tools/packaging/tdrm.def"

# Names of CMake and pkg-config, and what provides them in Spack. None: the compiler or the C library.
PROVIDERS = {
    "PkgConfig": "pkgconfig", "Threads": None, "quadmath": None, "MPI": "mpi", "HDF5": "hdf5", "spdlog": "spdlog",
    "nlohmann_json": "nlohmann-json", "CLI11": "cli11", "yaml-cpp": "yaml-cpp", "libpcre2-8": "pcre2", "libutf8proc": "utf8proc",
    "libxxhash": "xxhash", "gmp": "gmp", "ZLIB": "zlib-api", "GTest": "googletest", "benchmark": "benchmark",
    "CUDAToolkit": "cuda", "nccl": "nccl",
}
# What no find of CMake names: compilers, CMake and Ninja themselves, libtorch (TORCH_DIR), the report's Python.
BESIDE_CMAKE = {"c", "cxx", "cmake", "ninja", "py-torch", "python", "py-h5py", "py-numpy", "py-matplotlib", "py-pyyaml"}


def found_by_cmake():
    """First words of find_package and find_library, and the modules of pkg_check_modules."""
    texts = [(SOURCE / "CMakeLists.txt").read_text()]
    for folder in ("tools/cmake", "src", "tests"):
        texts += [path.read_text() for path in (SOURCE / folder).rglob("*") if path.name == "CMakeLists.txt" or path.suffix == ".cmake"]
    text = "\n".join(re.sub(r"#.*", "", text) for text in texts)
    names = set(re.findall(r"find_package\((\S+?)[\s)]", text))
    names |= set(re.findall(r"find_library\(\S+ (?:NAMES )?(\S+?)[\s)]", text))
    for loop in re.findall(r"foreach\(name ([^)]*)\)\s*pkg_check_modules\(", text):
        names |= set(loop.split())
    names |= set(re.findall(r"pkg_check_modules\((?!\$)(\S+)", text))
    return names


def calls(path, name):
    """First arguments of the calls of a function at any depth of a Python file."""
    tree = ast.parse(path.read_text(), path)
    return [node.args[0].value for node in ast.walk(tree)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name and isinstance(node.args[0], ast.Constant)]


class Recipes(unittest.TestCase):
    def test_spack_depends_on_what_cmake_looks_for(self):
        found = found_by_cmake()
        self.assertGreater(len(found), 12)
        self.assertEqual(found - PROVIDERS.keys(), set(), "name their Spack packages in PROVIDERS and in package.py")
        wanted = {PROVIDERS[name] for name in found if PROVIDERS[name]}
        named = {re.match(r"[a-z0-9-]+", spec)[0] for spec in calls(RECIPE, "depends_on")}
        self.assertEqual(named - BESIDE_CMAKE, wanted)
        self.assertLessEqual(BESIDE_CMAKE, named)

    def test_versions_are_those_of_cmake(self):
        text = (SOURCE / "CMakeLists.txt").read_text()
        version = re.search(r"project\(tdrm VERSION (\S+)", text)[1]
        self.assertEqual(calls(RECIPE, "version"), [version])
        self.assertIn(f"Version {version}", DEFINITION.read_text())
        self.assertRegex((SOURCE / "CITATION.cff").read_text(), rf"(?m)^version: {re.escape(version)}$")
        minimum = re.search(r"cmake_minimum_required\(VERSION (\S+)\)", text)[1]
        self.assertIn(f"cmake@{minimum}:", calls(RECIPE, "depends_on"))

    def test_options_that_the_recipe_sets_exist(self):
        options = set(re.findall(r"(?:option|set)\((TDRM_\w+|TORCH_DIR)", "".join(
            path.read_text() for path in [SOURCE / "CMakeLists.txt", *(SOURCE / "tools/cmake").glob("*.cmake")])))
        text = RECIPE.read_text() + DEFINITION.read_text() + (SOURCE / "CMakePresets.json").read_text()
        used = set(re.findall(r"\b(TDRM_[A-Z_]+|TORCH_DIR)\b", text)) - {"TDRM_HOME"}
        self.assertGreater(len(used), 5)
        self.assertEqual(used - options, set())

    def test_the_container_installs_what_the_script_installs(self):
        sections = re.split(r"(?m)^%(\w+)\n", DEFINITION.read_text())
        content = dict(zip(sections[1::2], sections[2::2]))
        self.assertEqual(set(content), {"files", "post", "environment", "runscript", "test", "labels"})
        lines = [line.strip() for line in content["post"].splitlines()]
        self.assertIn("tools/install.sh", lines)
        self.assertNotIn("apt-get install", content["post"])  # a second list


if __name__ == "__main__":
    unittest.main()
