"""What the build refuses before it starts."""

from __future__ import annotations

import contextlib
import io
import tempfile
import unittest
import unittest.mock
from pathlib import Path

from streamtask import __main__ as command


class Build(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def refused(self, name: str) -> str:
        file = self.folder / name
        file.write_text("", encoding="utf-8")
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors):
            self.assertEqual(command.main(["build", str(file)]), 1)
        self.assertEqual([file.name for file in self.folder.iterdir()], [name])
        file.unlink()
        return errors.getvalue()

    def test_a_file_that_python_can_not_import_is_refused(self) -> None:
        self.assertIn("call it csv_report.py", self.refused("csv-report.py"))
        self.assertIn("is not a Python file", self.refused("task.wasm"))
        for name in ("json", "streamtask", "wit_world", "python_task"):
            self.assertIn(f"call it task_{name}.py", self.refused(f"{name}.py"))

    def test_without_the_compiler_it_says_how_to_get_it(self) -> None:
        with unittest.mock.patch("importlib.util.find_spec", return_value=None):
            self.assertIn("pip install componentize-py==", self.refused("count.py"))

    def test_the_compiler_is_the_one_that_the_package_asks_for(self) -> None:
        project = (Path(command.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
        self.assertIn(f'"{command.COMPILER}"', project)


if __name__ == "__main__":
    unittest.main()
