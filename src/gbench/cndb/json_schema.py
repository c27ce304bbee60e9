"""The record's JSON schema, `cndb/record.schema.json`, for tools that check records without this package.

    python -m gbench.cndb.json_schema     # writes it; run by `make schema`

It describes records as gbench writes them. gbench also reads other forms, such as the original's figures with their
unit in one text; `gbench cndb export` converts them to this one.
"""

import json

from gbench.base.files import make_folder, write_atomically
from gbench.base.paths import project_file
from gbench.cndb.record import RECORD_SCHEMA, Record

PLACE = "cndb/record.schema.json"


def schema_text() -> str:
    results = ("perf_data", "metric_data")
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Record.model_json_schema(),
        "title": f"CNDB record, version {RECORD_SCHEMA}",
        "anyOf": [{"required": [key], "properties": {key: {"type": "object", "minProperties": 1}}} for key in results],
    }
    return json.dumps(schema, indent=2) + "\n"


def main() -> None:
    """Write the file. Raises InfrastructureError."""
    path = project_file(PLACE)
    make_folder(path.parent)
    write_atomically(path, schema_text())


if __name__ == "__main__":
    main()
