"""`cndb_submit`: the original command and its flags (CNDB section 4), for this project's records and databases."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from gbench.base import strict_json
from gbench.cli.shared.output import echo
from gbench.errors import ExitCode, GbenchError, RecordError

REQUIRED = ("model", "framework", "dataset", "dev")
LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "FATAL", "CRITICAL")
JSON_FLAGS = ("perf_data", "metric_data", "hyper_params", "soft_info", "hard_info", "extra")


class _Parser(argparse.ArgumentParser):
    """Exits with 1 on usage errors, as the original does."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.FAILED, f"error: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="cndb_submit",
        description="Check one record, save it as YAML, store it in a database. Flags override what --load_file gives.",
        epilog="Exit codes: 0 ok; 1 no valid record, or wrong flags; 2 wrong database config; 4 the database is down. "
        "More: `gbench cndb --help`.",
    )
    add = parser.add_argument
    add("--model", help="required, here or in --load_file; as are --framework, --dataset and --dev")
    add("--batch_size", type=int, help="total over all devices")
    add("--framework", help="e.g. PyTorch")
    add("--dataset", help="e.g. facades")
    add("--dev", help="name of the device, e.g. V100-PCIE-32GB")
    add("--dev_num", type=int, help="devices, more than 0")
    add("--train_type", help="precision: FP32, TF32, AMP ...")
    add("--eval_type")
    add("--dist_type", default="single", help="single (default), DP, DDP, hvd; single overrides no --load_file")
    add("--perf_data", metavar="JSON", help='e.g. \'{"throughput": 22.9, "throughput_unit": "img/s"}\'')
    add("--metric_data", metavar="JSON", help="convergence metrics; this or --perf_data is needed")
    add("--hyper_params", metavar="JSON")
    add("--soft_info", metavar="JSON", help="mapping with a name, e.g. that of the image")
    add("--soft_file", metavar="YAML", help="the same from a file; --soft_info comes first")
    add("--hard_info", metavar="JSON", help="mapping with a name, e.g. that of the machine")
    add("--hard_file", metavar="YAML", help="the same from a file; --hard_info comes first")
    add("--code_link")
    add("--db_config", metavar="JSON", help="database to store in; without it and --db_file: check and save only")
    add("--db_file", metavar="YAML", help="the same from a config file; --db_config comes first")
    add("--md5", help="identity of the record, in place of the computed one")
    add("--tags", metavar="a,b")
    add("--db_store_type", default="save", help="save (default), update, else: skip when the md5 is there")
    add("--log-level", default="WARNING", type=str.upper, choices=LOG_LEVELS)
    add("-f", "--data_file", metavar="LOG", help="benchmark log: every line a record")
    add("--load_file", metavar="YAML", help="start from this record")
    add("--save_file", metavar="YAML", help="write the record here")
    add("--extra", metavar="JSON", help="free mapping")
    add("--yes", action="store_true", help="obey a config's `rebuild: 1` without asking: drop everything first")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Entry point: report an expected error as one sentence and an exit code."""
    parser = _parser()
    given = vars(parser.parse_args(argv))
    try:
        _run(given, parser)
    except GbenchError as error:
        echo(f"cndb_submit: error: {error}", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        echo("cndb_submit: error: stopped by Ctrl-C", err=True)
        sys.exit(ExitCode.INTERRUPTED)


def _run(given: dict[str, Any], parser: _Parser) -> None:
    from gbench.cndb.record import checked
    from gbench.cndb.record_file import save

    flags = _flags(given)
    records = []
    for values, where in _starts(given):
        # As in the original, an empty flag overrides nothing, nor does the default of --dist_type.
        values.update({key: flag for key, flag in flags.items() if key not in values or (flag and flag != "single")})
        values.setdefault("eval_type", None)
        for key in REQUIRED:
            if not values.get(key):
                parser.error(f"--{key} is required")
        if not isinstance(values.get("dev_num"), int) or values["dev_num"] <= 0:
            parser.error("--dev_num must be > 0")
        if values.get("perf_data") is None and values.get("metric_data") is None:
            parser.error("--perf_data or --metric_data is required")
        records.append(checked(values, where, may_be_empty=True))
    if given["save_file"]:
        if len(records) != 1:
            parser.error(f"--save_file holds one record, --data_file gave {len(records)}")
        save(records[0], Path(given["save_file"]))
    config = _config(given)
    if config is None:
        return
    from gbench.cli.shared.storing import rebuild
    from gbench.cndb.upload import Target

    rebuild(config, given["yes"])
    target = Target(config)
    stored = target.store(records, given["db_store_type"])
    if target.warning is not None and _shows(given, "WARNING"):
        echo(f"cndb_submit: warning: database {config.shown}: {target.warning}", err=True)
    for one in stored:
        if one.differs and _shows(given, "WARNING"):
            echo(f"cndb_submit: warning: record {one.id} has other content: {', '.join(one.differs)}", err=True)
        if _shows(given, "INFO"):
            echo(f"record {one.id} {one.action} in {config.shown}", err=True)


def _shows(given: Mapping[str, Any], level: str) -> bool:
    return LOG_LEVELS.index(given["log_level"]) <= LOG_LEVELS.index(level)


def _starts(given: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The values that the flags override (a record file, the lines of a benchmark log, or none), and their source."""
    from gbench.cndb.importing import benchmark_lines, values_of

    if given["load_file"]:
        return [(_loaded(given), given["load_file"])]
    if not given["data_file"]:
        return [({}, "the command line")]
    path = Path(given["data_file"])
    starts = []
    for where, line in benchmark_lines(path):
        if isinstance(line, RecordError):
            raise line
        starts.append((values_of(line, where), where))
    if not starts:
        raise RecordError(f"{path} holds no line", "give a benchmark log to --data_file")
    return starts


def _loaded(given: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of --load_file; all have a value. A key that no record has is left out, with a warning."""
    from gbench.cndb.record import Record

    path = given["load_file"]
    values = _yaml_mapping(path, "--load_file", "docs/cndb.md has every key of a record")
    if (others := [str(key) for key in values if key not in Record.model_fields]) and _shows(given, "WARNING"):
        echo(f"cndb_submit: warning: {path}: ignored, as no record has it: {', '.join(others)!r:.200}", err=True)
    return {key: values.get(key) for key in Record.model_fields}


def _flags(given: Mapping[str, Any]) -> dict[str, Any]:
    keys = (*REQUIRED, "batch_size", "dev_num", "train_type", "eval_type", "dist_type", "code_link")
    values = {key: given[key] for key in keys if given[key] is not None}
    if given["md5"] is not None:
        values["md5_val"] = given["md5"]
    if given["tags"] is not None:
        values["tags"] = [tag.strip() for tag in given["tags"].split(",") if tag.strip()]
    for key in ("soft", "hard"):
        if given[f"{key}_file"] and not given[f"{key}_info"]:
            values[f"{key}_info"] = _yaml_mapping(given[f"{key}_file"], f"--{key}_file", "give one with a `name:`")
    for key in JSON_FLAGS:
        if given[key] is not None:
            values[key] = _json_mapping(given[key], f"--{key}")
    return values


def _json_mapping(text: str, flag: str) -> Any:
    try:
        values = strict_json.loads(text, unique=True)
    except strict_json.RepeatedName as error:
        raise RecordError(f"{flag}: {error}", "leave one of the two out") from error
    except ValueError as error:
        raise RecordError(f"{flag} is not JSON ({error})", "write it like '{\"key\": 1}'") from error
    if values is not None and not isinstance(values, dict):
        raise RecordError(f"{flag} is not a JSON mapping", "write it like '{\"key\": 1}'")
    return values


def _yaml_mapping(path: str, flag: str, hint: str) -> dict[Any, Any]:
    from gbench.base.untrusted import read_yaml

    values = read_yaml(Path(path), f"give {flag} a YAML mapping")
    if not isinstance(values, dict):
        raise RecordError(f"{flag} {path} is not a mapping", hint)
    return values


def _config(given: Mapping[str, Any]) -> Any:
    from gbench.cli.shared.storing import DatabaseChoice, cndb_folder
    from gbench.cndb.database_config import parse_json

    if given["db_config"]:
        return parse_json(given["db_config"], cndb_folder(), os.environ)
    return DatabaseChoice(given["db_file"]).config if given["db_file"] else None


if __name__ == "__main__":
    main()
