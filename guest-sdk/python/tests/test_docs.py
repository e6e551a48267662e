"""The examples in the documentation."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import sys
import types
import unittest
from pathlib import Path

import streamtask
from streamtask import testing

PACKAGE = Path(streamtask.__file__).parent
FOR_COMPONENTS = {"_contract", "_exports"}


class Docs(unittest.TestCase):
    def test_what_docstrings_show_is_so(self) -> None:
        tried = 0
        for module in pkgutil.iter_modules([str(PACKAGE)]):
            if module.name not in FOR_COMPONENTS:
                loaded = importlib.import_module(f"streamtask.{module.name}")
                result = doctest.testmod(loaded)
                self.assertEqual(result.failed, 0, module.name)
                tried += result.attempted
        self.assertGreater(tried, 3)

    def test_every_task_of_the_readme_runs(self) -> None:
        text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
        blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        tasks = [block for block in blocks if "@task" in block or "(StreamTask)" in block]
        self.assertGreaterEqual(len(tasks), 2)
        for index, block in enumerate(tasks):
            with self.subTest(block=block):
                module = types.ModuleType(f"readme_{index}")
                sys.modules[module.__name__] = module
                self.addCleanup(sys.modules.pop, module.__name__)
                exec(compile(block, f"README.md, task {index}", "exec", dont_inherit=True), module.__dict__)
                host = testing.Recording(http=lambda _: testing.Reply(content="[]"))
                inputs = {"steps: int": {"steps": 3}, "pages: int": {"url": "http://example.com", "pages": 3}}
                host.run(module, next((inputs[name] for name in inputs if name in block), {}))
                self.assertTrue(host.events)


if __name__ == "__main__":
    unittest.main()
