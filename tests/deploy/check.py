"""Checks the files of deploy/ against the schemas of Kubernetes and Compose, and prints what is wrong.

check.py DEPLOY [COMPOSE-SCHEMA] also prints the documents that it has found, so that a test sees that there are some.
"""

import json
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

# The oldest that clouds still offer, and the newest that the schemas have.
VERSIONS = ["1.31", "1.37"]


def kubernetes(folder: Path) -> None:
    for file in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            for version in VERSIONS:
                # In strict mode a field that Kubernetes does not know is an error, not ignored.
                kubernetes_validate.validate(document, version, strict=True)
            print(file.name, document["kind"])


def compose(file: Path, schema: Path) -> None:
    document = yaml.safe_load(file.read_text())
    # Newer than the schema.
    document.pop("name")
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(document)
    print(file.name, " ".join(document["services"]))


kubernetes(Path(sys.argv[1], "kubernetes"))
if len(sys.argv) > 2:
    compose(Path(sys.argv[1], "compose/compose.yaml"), Path(sys.argv[2]))
