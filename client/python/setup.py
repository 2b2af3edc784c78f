"""setup - the C module, where there is a compiler; all else is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "_lighterd",
            sorted(glob("native/*.c")),
            depends=sorted(glob("native/*.h")),
            extra_compile_args=["-std=gnu17", "-O2"],
            optional=True,  # without it the client is as good, and slower
        )
    ]
)
