"""Beyond pyproject.toml: the settings in `conf` go into the wheel as `ipai/conf`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSettings(build_py):
    """Copies `conf` beside the modules; an editable install reads it where it is."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if not self.editable_mode:
            shutil.copytree(Path(__file__).parent / "conf", Path(self.build_lib) / "ipai" / "conf", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithSettings})
