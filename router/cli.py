"""The verbs of `llm-router`."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from router import __version__
from router.config.load import Config, load
from router.config.sources import Sources
from router.core.errors import ConfigError
from router.core.strategies import STRATEGIES
from router.dialects.registry import PROVIDERS

cli = typer.Typer(
    name="llm-router",
    help="A load-balancing, OpenAI-compatible endpoint for a whole team's LLM traffic.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="ROUTER_CONFIG", help="The configuration file.", show_default=True)
]


def main() -> None:
    """The console script."""
    cli()


@cli.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"llm-router {__version__}")
        raise typer.Exit


@cli.command()
def serve(
    config: ConfigOption = Path("router.yaml"),
    host: Annotated[str | None, typer.Option(help="Listen here; overrides server.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen here; overrides server.port. 0: any free port.")] = None,
) -> None:
    """Serve until SIGTERM. Exits 2 where the configuration is bad."""
    environment = dict(os.environ)
    if host is not None:
        environment["ROUTER__SERVER__HOST"] = host
    if port is not None:
        environment["ROUTER__SERVER__PORT"] = str(port)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    sources = Sources(keep=True)
    loaded = _load(config, environment, exit_code=2, sources=sources)
    settings = loaded.settings.server
    try:
        if settings.workers > 1:
            code = _supervise(config, environment, loaded, sources)
        else:
            from router.process.serve import serve as run

            sources.contents.clear()
            uvloop.run(run(loaded, sources, partial(_read, config, environment)))
            code = 0
    except OSError as error:
        typer.echo(f"cannot listen on {settings.host}:{settings.port}: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


@cli.command(hidden=True)
def worker(
    config: ConfigOption,
    number: Annotated[int, typer.Option(help="Which of the workers this is.")],
    listen: Annotated[str, typer.Option(help="Descriptors of sockets that listen, with commas.")],
    channel: Annotated[int, typer.Option(help="Descriptor of the socket to the supervisor.")],
) -> None:
    """Serve as one of several workers: what `serve` starts."""
    for name in (signal.SIGHUP, signal.SIGINT):  # for the supervisor to hear
        signal.signal(name, signal.SIG_IGN)
    from router.process.worker import work

    environment = dict(os.environ)
    try:
        uvloop.run(work(number, [*map(int, listen.split(","))], channel, partial(_read, config, environment)))
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(f"worker {number} cannot serve: {error}", err=True)
        raise typer.Exit(1) from None


@cli.command()
def check(config: Annotated[Path, typer.Argument(help="The configuration file.")] = Path("router.yaml")) -> None:
    """Print what a configuration would serve, or what is wrong with it (exit 1)."""
    from router.config.report import describe

    typer.echo(describe(_load(config, dict(os.environ), exit_code=1)))


@cli.command()
def schema() -> None:
    """Print the JSON Schema of router.yaml, for editors."""
    from router.config.schema_json import schema_text

    typer.echo(schema_text(), nl=False)


@cli.command()
def mock(
    host: Annotated[str, typer.Option(help="Listen here.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Listen here; 0: any free port.")] = 9001,
    ttft: Annotated[float, typer.Option(help="Seconds to the first token.")] = 0.0,
    tps: Annotated[float, typer.Option(help="Tokens per second; 0: as fast as possible.")] = 0.0,
    tokens: Annotated[int, typer.Option(help="Tokens per reply; 0: as many as the reply text has.")] = 0,
    script: Annotated[str, typer.Option(help="What each request gets, in turn: ok,503,hang,reset,truncate,…")] = "",
    failure_rate: Annotated[float, typer.Option(help="Share of requests that fail, 0 to 1.")] = 0.0,
    failure: Annotated[str, typer.Option(help="The step that those get.")] = "503",
    retry_after: Annotated[float | None, typer.Option(help="Seconds named in retry-after on a 429 or 503.")] = None,
    rate_limit_headers: Annotated[bool, typer.Option(help="Send x-ratelimit-* headers.")] = False,
    reply: Annotated[str, typer.Option(help="The text to answer with.")] = "",
    api_key: Annotated[str, typer.Option(help="Require this bearer key.")] = "",
    seed: Annotated[int | None, typer.Option(help="Make failures and ids repeatable.")] = None,
) -> None:
    """Serve the mock provider: an OpenAI-compatible upstream that fails as told."""
    from router.mock.command import run

    try:
        run(
            host, port, ttft=ttft, tps=tps, tokens=tokens, script=script, failure_rate=failure_rate, failure=failure,
            retry_after=retry_after, rate_limit_headers=rate_limit_headers, reply=reply, api_key=api_key, seed=seed,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@cli.command()
def explain(
    config: ConfigOption = Path("router.yaml"),
    model: Annotated[str | None, typer.Option(help="What the request asks for; overrides the body's.")] = None,
    body: Annotated[
        Path | None, typer.Option(help="The request's JSON body; -: standard input.", allow_dash=True)
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="chat, completion or embedding, where the body does not tell.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Print where a request would go, and why, with no load and everyone healthy. Exits 1 where it would be refused."""
    from router.edge.explain_command import run

    loaded = _load(config, dict(os.environ), exit_code=2)
    raise typer.Exit(run(loaded.catalogue, model, body, kind, as_json=as_json))


@cli.command()
def simulate(
    trace: Annotated[
        Path,
        typer.Argument(
            help="Azure LLM trace, CSV with timestamp,prompt_tokens,output_tokens, or this router's access log."
        ),
    ],
    config: Annotated[list[Path], typer.Option("--config", "-c", help="The configuration; several are compared.")],
    deployments: Annotated[Path | None, typer.Option(help="How each deployment would serve (YAML).")] = None,
    model: Annotated[str | None, typer.Option(help="Ask for this model, whatever the trace says.")] = None,
    rate: Annotated[float | None, typer.Option(help="Replay so many times faster.", min=1e-6)] = None,
    load: Annotated[
        float | None, typer.Option(help="Replay as fast as asks for this share of capacity, such as 0.85.", min=1e-6)
    ] = None,
    strategy: Annotated[
        list[str] | None, typer.Option(help="Use this strategy for every model; several are compared; all: each.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first run.")] = 1,
    seeds: Annotated[int, typer.Option(help="Runs, each with the next seed.", min=1)] = 1,
    replicas: Annotated[int, typer.Option(help="Routers in front of the same deployments.", min=1)] = 1,
    staleness: Annotated[float, typer.Option(help="Seconds between two looks at the others.", min=0.001)] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw the result into this file; needs the extra `plots`.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many requests of the trace.", min=1)] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes; left out: one per CPU.", min=1)] = None,
) -> None:
    """Replay a trace through the routing code against modelled deployments. Exits 2 on bad input."""
    from router.simulate.command import run
    from router.simulate.errors import SimulateError
    from router.simulate.study import Options

    if rate is not None and load is not None:
        raise typer.BadParameter("--rate and --load exclude each other")
    names = tuple(STRATEGIES) if strategy == ["all"] else tuple(strategy or ())
    options = Options(
        trace, tuple(config), deployments, model, rate or 1.0, load, names, tuple(range(seed, seed + seeds)), replicas,
        staleness, limit, tuple(os.environ.items()),
    )  # fmt: skip
    try:
        run(options, as_json=as_json, picture=plot, jobs=jobs)
    except (ConfigError, SimulateError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _supervise(path: Path, environment: dict[str, str], loaded: Config, sources: Sources) -> int:
    from router.process.supervisor import Supervisor, supervise

    async def run() -> int:
        read = partial(_read, path, environment)
        return await supervise(Supervisor(loaded, sources, read, ["--config", str(path)], environment))

    return asyncio.run(run())


def _load(path: Path, environment: dict[str, str], exit_code: int, sources: Sources | None = None) -> Config:
    try:
        return _read(path, environment, sources)
    except ConfigError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        raise typer.Exit(exit_code) from None


def _read(path: Path, environment: dict[str, str], sources: Sources | None) -> Config:
    return load(path, environment, providers=PROVIDERS.keys(), strategies=STRATEGIES.keys(), sources=sources)
