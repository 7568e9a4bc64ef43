"""Builds the shared library with make and the C compiler, and puts it beside the Python files. There is no extension module, so one
wheel serves all versions of Python 3 on a platform."""
import os
import pathlib
import shutil
import subprocess
import sys

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:
    try:
        from wheel.bdist_wheel import bdist_wheel
    except ImportError:
        sys.exit('mskp: --no-build-isolation needs a setuptools of version 70 or later, or wheel: pip install "setuptools>=70"')

ROOT = pathlib.Path(__file__).resolve().parents[3]


class Build(build_py):
    def run(self):
        super().run()
        if not (ROOT / 'include/mskp.h').exists():
            sys.exit('mskp: the C library is compiled from the folders around this one: install from a checkout')
        build = ROOT / 'build/python'
        made = build / 'libmskp_python.so'
        subprocess.run(['make', '-C', ROOT, f'-j{os.cpu_count()}', f'BUILD={build}', made], check=True)
        shutil.copy(made, pathlib.Path(self.build_lib) / 'mskp' / made.name)


class Wheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return ('py3', 'none', super().get_tag()[2])


class Platform(Distribution):
    def has_ext_modules(self):
        return True


setup(cmdclass={'build_py': Build, 'bdist_wheel': Wheel}, distclass=Platform)
