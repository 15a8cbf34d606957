"""Arguments and options that several commands have."""

import click

from cli._shared import named

job_argument = click.argument("job", metavar="JOB", shell_complete=named.complete_job)
adapter_argument = click.argument("adapter", metavar="ADAPTER", shell_complete=named.complete_adapter)
dataset_argument = click.argument("dataset", metavar="DATASET", shell_complete=named.complete_dataset)
model_help = "The base model."
