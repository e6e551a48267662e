import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from streamtask.testing import Recording

from task import greet


class Greet(unittest.TestCase):
    def test_greets_everyone(self):
        host = Recording()
        self.assertEqual(host.run(greet, {"names": ["Ada", "Alan"]}), {"greeted": 2})
        self.assertEqual(host.data("greeting"), ["Hello, Ada!", "Hello, Alan!"])


if __name__ == "__main__":
    unittest.main()
