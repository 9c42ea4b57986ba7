"""A recipe for Spack. There is no archive to fetch: build a checkout with it,

    spack repo create REPO && mkdir -p REPO/packages/weft
    cp packaging/spack/package.py REPO/packages/weft/ && spack repo add REPO
    spack dev-build weft@main
"""
from spack.package import *


class Weft(CMakePackage):
    """MPI sampler for diffusion models: ranks share one image and end with the
    bytes that one process would have made."""

    license("Apache-2.0")

    version("main")

    variant("tests", default=False, description="Build the tests")

    depends_on("c", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3.1:")
    depends_on("hwloc@2:")
    depends_on("libpng")
    depends_on("jansson")
    depends_on("libcyaml")
    depends_on("libyaml")
    depends_on("nettle")
    depends_on("utf8proc")
    depends_on("cmocka", type="build", when="+tests")
    depends_on("python@3.9:", type="build", when="+tests")

    generator("ninja")

    def cmake_args(self):
        return [
            self.define_from_variant("BUILD_TESTING", "tests"),
            self.define("MPI_C_COMPILER", self.spec["mpi"].mpicc),
        ]

    def setup_run_environment(self, env):
        env.set("WEFT_ROOT", self.prefix)
