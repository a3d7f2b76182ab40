"""The command `trajgan`: one sub-command per workflow, its options read off the workflow's configuration."""

import inspect
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional

import typer
from pydantic.fields import FieldInfo

from openmm_trajgan.errors import BelowThresholdError, InputError, TrajGANError

COMMANDS = {
    "demo": "DemoConfig",
    "collect": "CollectConfig",
    "train": "TrainConfig",
    "generate": "GenerateConfig",
    "backmap": "BackmapConfig",
    "audit": "AuditConfig",
}
_INTERRUPTED = "interrupted; commands that have --resume can continue"


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Field of a configuration as an optional parameter: what is not given is left to the YAML file or the default."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    default = "" if field.is_required() or field.default in (None, []) else f" [default: {field.default}]"
    text = (field.description or "") + default
    if extra.get("positional"):
        info = typer.Argument(help=text, show_default=False)
    elif field.annotation is bool:
        info = typer.Option(f"--{name.replace('_', '-')}", help=text, show_default=False)
    else:
        info = typer.Option(help=text, show_default=False)
    return _keyword(name, Annotated[Optional[field.annotation], info], None)  # noqa: UP045 (a value, not an annotation)


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _command(workflow: Any, config_type: Any) -> Any:

    def command(**values: Any) -> None:
        file, print_config, debug = values.pop("config"), values.pop("print_config"), values.pop("debug")
        given = {name: value for name, value in values.items() if value not in (None, [])}
        try:
            config = config_type.parse(given, file)
            typer.echo(config.to_yaml() if print_config else workflow.run(config))
        except KeyboardInterrupt:
            _fail(_INTERRUPTED, 1)
        except Exception as error:
            if debug:
                raise
            text = " ".join(str(error).split())
            if isinstance(error, OSError) and error.strerror:
                text = f"{error.filename or 'a file'}: {error.strerror}"
            elif not isinstance(error, TrajGANError | OSError):
                text = f"{type(error).__name__}: {text}; --debug shows where"
            _fail(text, 3 if isinstance(error, BelowThresholdError) else 2 if isinstance(error, InputError) else 1)

    parameters = [_parameter(name, field) for name, field in config_type.model_fields.items()]
    shared = {
        "config": (Path | None, None, "YAML file with any of these options"),
        "print_config": (bool, False, "show the resolved configuration and stop"),
        "debug": (bool, False, "show the traceback of an error"),
    }
    for name, (kind, default, text) in shared.items():
        option = typer.Option(f"--{name.replace('_', '-')}", help=text, show_default=False)
        parameters.append(_keyword(name, Annotated[kind, option], default))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = inspect.getdoc(config_type)
    return command


def _one_each(words: list[str], config_type: Any) -> list[str]:
    """Let ``--trajectory A B`` stand for ``--trajectory A --trajectory B``, for fields that say so."""
    fields = config_type.model_fields.items()
    several = {f"--{name}" for name, field in fields if isinstance(extra := field.json_schema_extra, dict) and extra.get("several")}
    spread: list[str] = []
    option = ""
    for word in words:
        if word.startswith("-"):
            option = word if word in several else ""
        elif option and spread[-1] != option:
            spread.append(option)
        spread.append(word)
    return spread


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"trajgan: {message}", err=True)
    sys.exit(status)


def main() -> None:
    """Run the command line."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"trajgan: warning: {' '.join(str(message).split())}", err=True)
    about = import_module("openmm_trajgan").__doc__
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=about)
    app.callback()(lambda: None)
    words = sys.argv[1:] or ["--help"]
    asked = next((word for word in words if word in COMMANDS), None)
    usage_error: Any = typer.BadParameter.__base__  # typer shows it in a box of several lines
    try:
        for name, config_name in COMMANDS.items():
            if asked in (None, name):  # the others need not be imported
                workflow = import_module(f"openmm_trajgan.workflows.{name}")
                config_type = getattr(workflow, config_name)
                app.command(name)(_command(workflow, config_type))
                words = _one_each(words, config_type) if asked else words
        sys.exit(app(words, standalone_mode=False))
    except KeyboardInterrupt:  # while a workflow was being imported
        _fail(_INTERRUPTED, 1)
    except usage_error as error:
        text = " ".join(error.format_message().split()).rstrip(".")
        _fail(f"{text}; see trajgan {f'{asked} ' if asked else ''}--help", 2)
