"""`robot-orl COMMAND key=value ...`: words to configs, errors to one line and an exit code.

Exit codes: 0 done; 1 a failure while running; 2 wrong usage or input; 130 after Ctrl-C, state saved.
"""

import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from robot_orl.errors import RobotOrlError, UsageError, unknown

USAGE = """usage: robot-orl COMMAND key=value ...

  collect    record demonstrations of a task into a dataset
  pretrain   train an agent offline on datasets
  finetune   go on learning online in the task
  evaluate   measure a policy on the fixed evaluation seeds
  export     write a policy as a bundle that runs without PyTorch
  compare    play two bundles from the same starts: may the new one be promoted?
  deploy     run a bundle on a robot in a real-time loop
  calibrate  find out how an arm's servos are mounted, before it is deployed on
  virtual-arm  an arm that is not there, at a serial port that is
  doctor     measure what this host can do in real time, and say what to mend
  dataset    look at, check, mend, select, label and convert datasets: dataset TOOL PATH ...
  import     bring in data of another format: import source=d4rl path=FILE out=DIR
  camera     print boards, calibrate a camera and see where an object is: camera TOOL ...
  report     write one HTML page about a run
  demo       the whole path on one task
  benchmark  tasks x agents x seeds: a table and a figure

`robot-orl COMMAND --help` shows the fields of a command; `--multirun` runs every combination of
comma-separated values; `--config` prints the resolved configuration instead of running."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code. argv: None: the words of this process, which ends with it."""
    if argv is not None:
        return _answered(list(argv))
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  closed by `>&-`
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files are any bytes
    code = _answered(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of Ctrl-C while the interpreter ends
    return code


def _answered(words: list[str]) -> int:
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except RobotOrlError as error:
        print(f"robot-orl: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("robot-orl: interrupted; what was committed is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        print(f"robot-orl: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE)
        return 0 if words else 2
    command, rest = words[0], words[1:]
    if command == "--version":
        from robot_orl import __version__

        print(f"robot-orl {__version__}")
        return 0
    if command in ("dataset", "camera"):
        return _tools(command, rest)
    if command == "import":
        return _plain(command, "robot_orl.commands.import_episodes", rest)
    from robot_orl.config import COMMANDS

    if command not in COMMANDS:
        raise unknown("command", command, [*COMMANDS, "dataset", "camera", "import"])
    return _command(command, rest)


def _command(command: str, words: list[str]) -> int:
    import envs  # noqa: F401  registers the tasks with Gymnasium
    from robot_orl.composed_help import help_text

    words = [_spelt_out(command, word) for word in words]
    flags = {word for word in words if word.startswith("-")}
    words = [word for word in words if word not in flags]
    known = {"-h", "--help", "-m", "--multirun", "--config"}
    if flags - known:
        raise unknown("option", sorted(flags - known)[0], sorted(known))
    if flags & {"-h", "--help"}:
        print(help_text(command, words))
        return 0
    from robot_orl.compose import sweep

    is_multirun = bool(flags & {"-m", "--multirun"})
    if len(sweep(words)) > 1 and (not is_multirun or "--config" in flags):
        raise UsageError("several values for one field: add --multirun to run every combination")
    if "--config" in flags:
        from omegaconf import OmegaConf

        print(OmegaConf.to_yaml(OmegaConf.structured(_config(command, words))), end="")
        return 0
    run: Callable[[Any], None] = import_module(f"robot_orl.commands.{command.replace('-', '_')}").run
    if is_multirun:
        _multirun(command, words, run)
        return 0
    run(_config(command, words))
    return 0


def _spelt_out(command: str, word: str) -> str:
    """A field that is true or false can be a flag, as of the tools: --json is json=true."""
    from robot_orl.config import COMMANDS
    from robot_orl.plain import flag

    names = {flag(item.name): item.name for item in fields(COMMANDS[command]) if item.type is bool}
    return f"{names[word]}=true" if word in names else word


def _config(command: str, words: list[str]) -> Any:
    """The checked config. Finetuning takes its agent from the run and lets words change its fields."""
    from robot_orl.compose import build, parse

    if command != "finetune":
        return build(command, words)
    from omegaconf import OmegaConf

    from robot_orl.training.runs.run import Run

    overrides = {override.key_or_group: override.value() for override in parse(words)}
    if "agent" in overrides:
        raise UsageError(
            "finetune goes on with the agent of the run; single fields can be set: agent.FIELD=..."
        )
    if not isinstance(path := overrides.get("run"), str) or not path:
        raise UsageError("finetune needs run=..., a folder made by pretrain")
    agent = OmegaConf.to_container(Run.open(path).part("agent"))
    assert isinstance(agent, dict)
    return build(command, [f"agent={agent['name']}", *words], agent)  # type: ignore[arg-type]


def _multirun(command: str, words: list[str], run: Callable[[Any], None]) -> None:
    """Every combination, one after the other; each writes to a folder, or file, of its own at `out`."""
    from robot_orl.compose import sweep

    jobs = []
    for job, name in sweep(words):
        varies_out = any(part.startswith("out=") for part in name.split(","))
        if name and not varies_out:
            job = [_own(command, word, name) if word.startswith("out=") else word for word in job]
        jobs.append([_quoted(word) for word in job])
    runs = {word for job in jobs for word in job if word.startswith("run=")}
    if command == "finetune" and len(runs) < len(jobs):
        raise UsageError("finetune writes into its run: each combination needs a run= of its own")
    configs = [_config(command, job) for job in jobs]  # all of them, before any of them runs
    if command == "deploy":
        from robot_orl.commands.deploy import figures_file

        files = [os.path.abspath(figures_file(config)) for config in configs]
        if len(set(files)) < len(files):
            raise UsageError("several combinations would write one deploy.json: add out=FILE.json")
    for number, (job, config) in enumerate(zip(jobs, configs, strict=True), 1):
        print(f"[{number}/{len(jobs)}] robot-orl {command} {' '.join(job)}", file=sys.stderr)
        run(config)


def _own(command: str, word: str, name: str) -> str:
    """The `out=` of one combination: a folder below it, or a file beside it where `out` is a file."""
    if command not in ("deploy", "report"):
        return f"{word}/{name}"
    stem, suffix = os.path.splitext(word)
    return f"{stem},{name}{suffix}"


def _quoted(word: str) -> str:
    """A folder named after a combination holds `=` and `,`, which Hydra reads only in quotes."""
    key, _, value = word.partition("=")
    return f"{key}='{value}'" if key == "out" and ("=" in value or "," in value) else word


def _plain(name: str, module: str, words: list[str]) -> int:
    """A tool: one module with its `Config` and its `run(cfg)`."""
    tool = import_module(module)
    if {"-h", "--help"} & set(words):
        from robot_orl.help import tool_help

        print(tool_help(name, tool.Config))
        return 0
    from robot_orl.plain import build

    tool.run(build(name, tool.Config, words))
    return 0


def _tools(group: str, words: list[str]) -> int:
    """`dataset TOOL ...`, `camera TOOL ...`: the tools are the modules of `robot_orl.commands.GROUP`."""
    package = import_module(f"robot_orl.commands.{group}")
    modules = {module.name.replace("_", "-"): module.name for module in iter_modules(package.__path__)}
    if not words or words[0] in ("-h", "--help"):
        from robot_orl.help import tools_help

        print(tools_help(group, modules))
        return 0 if words else 2
    if words[0] not in modules:
        raise unknown(f"{group} tool", words[0], sorted(modules))
    return _plain(f"{group} {words[0]}", f"{package.__name__}.{modules[words[0]]}", words[1:])


if __name__ == "__main__":
    sys.exit(main())
