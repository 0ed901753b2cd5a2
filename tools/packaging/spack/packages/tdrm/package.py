# spack repo add tools/packaging/spack && spack dev-build tdrm@0.1.0      in the source folder; docs/installing.md
from spack.package import *


class Tdrm(CMakePackage):
    """Trains process reward models as value functions by temporal difference, and uses them: best-of-N, tree search, GRPO."""

    # Neither an address nor a checksum is named: build from a source folder (spack dev-build, or spack develop).
    version("0.1.0")

    variant("cuda", default=False, description="NCCL for the collectives")
    variant("tests", default=False, description="Build the tests")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3:")
    depends_on("hdf5@1.10:")
    depends_on("spdlog")
    depends_on("nlohmann-json")
    depends_on("cli11")
    depends_on("yaml-cpp")
    depends_on("pcre2")
    depends_on("utf8proc")
    depends_on("xxhash")
    depends_on("zlib-api")
    depends_on("gmp+cxx")
    depends_on("py-torch@2.6:")
    depends_on("cuda", when="+cuda")
    depends_on("nccl", when="+cuda")
    depends_on("googletest", when="+tests", type="build")
    depends_on("benchmark", when="+tests", type="build")
    # The report.
    depends_on("python@3.10:", type="run")
    depends_on("py-h5py", type="run")
    depends_on("py-pyyaml", type="run")
    depends_on("py-numpy", type="run")
    depends_on("py-matplotlib", type="run")

    conflicts("%gcc@:11", msg="tdrm is written in C++20 (g++ 12 or newer)")

    generator("ninja")

    def cmake_args(self):
        torch = join_path(self.spec["py-torch"].prefix, self.spec["python"].package.platlib, "torch")
        return [
            self.define("TORCH_DIR", torch),
            self.define("TDRM_INSTALL_TORCH", False),
            self.define("TDRM_ARCH", self.march()),
            self.define("TDRM_WITH_NCCL", "REQUIRED" if self.spec.satisfies("+cuda") else "OFF"),
            self.define_from_variant("TDRM_BUILD_TESTS", "tests"),
        ]

    def march(self):
        """The -march of the target that Spack builds for, which need not be the machine that builds."""
        flags = self.spec.target.optimization_flags(self.compiler.name, str(self.compiler.version))
        return next((flag[len("-march="):] for flag in flags.split() if flag.startswith("-march=")), "native")
