"""Runs a script that awaits outside of a function, as a notebook does.

    python awaiting.py ORIGIN SCRIPT

Addresses without a host are those of ORIGIN.
"""

import ast
import asyncio
import functools
import sys

import aiohttp

origin, script = sys.argv[1:]
aiohttp.ClientSession = functools.partial(aiohttp.ClientSession, origin)
with open(script, encoding="utf-8") as file:
    code = compile(file.read(), script, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
asyncio.run(eval(code, {"__name__": "__main__"}))
