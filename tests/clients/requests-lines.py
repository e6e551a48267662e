"""Follows a run as `requests` reads lines, and prints each as it comes."""

import sys

import requests

with requests.get(sys.argv[1], headers={"Accept": "application/x-ndjson"}, stream=True, timeout=60) as response:
    response.raise_for_status()
    for line in response.iter_lines():
        if line:
            print(line.decode(), flush=True)
