"""Say what is wrong with rows, line by line; with -m also what a model makes of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli._shared import api, files, named, printing
from cli._shared.exits import Exit, Failure
from state.errors import ServiceError


@click.command()
@click.argument("rows", metavar="FILE|DATASET", shell_complete=named.complete_dataset)
@click.option("-m", "--model", help="The model that would be trained.", shell_complete=named.complete_model)
@printing.json_option
def command(rows: str, model: str | None, as_json: bool) -> int:  # noqa: FBT001
    """A FILE is read here, and needs no server, unless -m asks what a model makes of it: then it is a data set of the
    server meanwhile.

    Ends with 3 where a job would refuse rows. What is merely odd, such as rows that are there twice, is told.
    """
    if model is None:
        is_here = rows == "-" or Path(rows).is_file()
        return _show_reading(rows, _read_here(rows) if is_here else _read_there(rows), as_json=as_json)
    with _on_server(rows) as dataset:
        reply = api.get(f"{named.DATA}/{api.name(dataset)}/report", {"model_name": model})
    if as_json:
        printing.body(reply.body)
        return _code(reply.data)
    return _show_report(rows, reply.data)


def _read_here(rows: str) -> api.Reply:
    import msgspec  # noqa: PLC0415  a reading's own imports

    from state.rows import reading  # noqa: PLC0415

    with files.on_disk(rows) as path:
        report = reading.Report()
        try:
            read = reading.Reading(path, skip_invalid=True)
            report = read.report
            for _ in read.rows():
                pass
        except ServiceError as error:
            if not report.total:
                raise Failure(str(error), Exit.NO) from error
    told = {"num_rows": report.total, "num_usable": report.used, "num_invalid": report.bad}
    return api.Reply(msgspec.json.encode(msgspec.to_builtins(report) | told))


def _read_there(rows: str) -> api.Reply:
    """Raises Failure, also where it was no data set but a file that was meant."""
    try:
        dataset = files.dataset(rows, skip_invalid=True)
    except Failure as failure:
        if failure.code == Exit.NO_SERVER:
            raise Failure(f"{rows} is no file here. {failure}", failure.code) from failure
        raise
    return api.get(f"{named.DATA}/{api.name(dataset)}")


def _show_reading(rows: str, read: api.Reply, *, as_json: bool) -> Exit:
    report = read.data
    if as_json:
        printing.body(read.body)
    else:
        formats = ", ".join(dict.fromkeys(file["format"] for file in report["files"] if file["format"])) or "no format"
        click.echo(f"{rows}: {formats}, {report['num_usable']:,} of {report['num_rows']:,} rows are good")
        several = len(report["files"]) > 1
        for problem in report["problems"]:
            _line(problem, problem["message"], several=several)
        untold = report["num_invalid"] - len(report["problems"])
        if untold > 0:
            click.echo(f"  ... and {untold:,} more")
    return Exit.NO if report["num_invalid"] else Exit.DONE


def _line(place: dict[str, Any], message: str, *, several: bool) -> None:
    file = f"{place['file']} " if several else ""
    at = f"{place['at']}: " if place.get("at") else ""
    click.echo(f"  {file}line {place['line']:<6} {at}{message}")


@contextmanager
def _on_server(rows: str) -> Iterator[str]:
    """The data set that these rows are; a file's is removed again if it was not there before."""
    before = {each["dataset_name"] for each in api.get(named.DATA).data["datasets"]}
    dataset = files.dataset(rows, skip_invalid=True)
    try:
        yield dataset
    finally:
        if dataset not in before:
            api.call("DELETE", f"{named.DATA}/{api.name(dataset)}")


def _show_report(rows: str, report: dict[str, Any]) -> Exit:
    formats = ", ".join(report["formats"]) or "no format"
    click.echo(f"{rows}: {formats}, {report['num_learned']:,} of {report['num_rows']:,} rows are learned")
    for finding in report["findings"]:
        click.echo(f"{finding['severity']:<8} {finding['count']:,} rows: {finding['message']}")
        for place in finding["first"]:
            same_as = place.get("same_as")
            told = place.get("message") or (f"same as line {same_as['line']}" if same_as else place.get("value", ""))
            _line(place, told, several=False)
        if finding["fix"]:
            click.echo(f"  {finding['fix']}")
    tokens = report["tokens"]
    if tokens["per_row"] is not None:
        row = tokens["per_row"]
        share = tokens["learned"] / tokens["total"]
        click.echo(
            f"tokens ({report['model_name']}): median {row['p50']:,}, 99 % {row['p99']:,}, longest {row['max']:,}; "
            f"learned {share:.0%}"
        )
    return _code(report)


def _code(report: dict[str, Any]) -> Exit:
    is_wrong = any(finding["severity"] == "error" for finding in report["findings"])
    return Exit.NO if is_wrong or not report["num_learned"] else Exit.DONE
