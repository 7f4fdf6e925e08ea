"""The command line of the benchmarks: `python -m benchmarks --help` lists the commands."""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import (
    batch,
    batch_quality,
    batch_sizes,
    cores,
    efficiency,
    efficiency_table,
    exact_algebra,
    gradient,
    hierarchies,
    memory,
    metrics,
    report,
    scaling,
    startup,
    translation,
    warmup,
)
from benchmarks.case import ROOT, Case, run_in_fresh_process
from benchmarks.measure import IMPORTS
from benchmarks.models import MODELS

RESULTS = ROOT / "benchmarks" / "results"


BATCH_PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "speed": lambda o: batch.table(o.series, o.cores, o.rivals, o.looped),
    "exact": lambda o: batch_quality.table(o.compared, o.cores),
    "warm": lambda o: batch_sizes.warm_starts(o.compared, o.cores),
    "ragged": lambda o: batch_sizes.ragged(o.ragged, o.cores),
    "bad": lambda o: batch_sizes.one_bad(o.series, o.cores),
    "memory": lambda o: batch_sizes.memory(o.memory),
}
"""What `python -m benchmarks batch` can show, by name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    options = parser().parse_args(arguments)
    for text in options.texts(options):
        print(text, flush=True)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    installed = [name for name, package in IMPORTS.items() if importlib.util.find_spec(package)]
    main_parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Benchmarks of pymc_rustmc."
    )
    commands = main_parser.add_subparsers(dest="command", required=True)

    run_parser = commands.add_parser("run", help="measure, and print the tables")
    run_parser.add_argument(
        "--samplers",
        nargs="+",
        choices=IMPORTS,
        default=installed,
        metavar="SAMPLER",
        help=f"{', '.join(IMPORTS)}; default: those installed",
    )
    run_parser.add_argument("--seeds", type=int, default=3, help="how many seeds a case (default: 3)")
    run_parser.add_argument(
        "--cache",
        nargs="+",
        choices=["cold", "warm"],
        default=["warm"],
        help="cold: empty compilation caches; warm (default): caches that an untimed run has filled",
    )
    for name in ("chains", "cores", "tune", "draws"):
        run_parser.add_argument(
            f"--{name}", type=int, help="default: the model's own; for cores, the machine's"
        )
    run_parser.add_argument("--timeout", type=float, default=1800, help="seconds a case (default: 1800)")

    startup_parser = commands.add_parser("startup", help="time translation, binding and starting points")
    startup_parser.add_argument("--repeats", type=int, default=3, help="fresh processes a model (default: 3)")
    startup_parser.set_defaults(texts=lambda o: [startup.table(o.models, o.repeats)])

    memory_parser = commands.add_parser("memory", help="peak memory of whole calls, against what they return")
    memory_parser.set_defaults(texts=lambda _: [memory.table(list(memory.WORKLOADS))])

    cores_parser = commands.add_parser("cores", help="time a gradient on one core and on two")
    cores_parser.set_defaults(texts=lambda o: [cores.report()])

    scaling_parser = commands.add_parser("scaling", help="time a gradient against rows and columns")
    scaling_parser.add_argument("--rows", type=int, default=10**7, help="most rows (default: 10000000)")
    scaling_parser.add_argument("--output", type=Path, help="where to draw the plot, such as scaling.svg")
    scaling_parser.set_defaults(texts=lambda o: [scaling.report(o.rows, o.output)])

    translation_parser = commands.add_parser("translation", help="time translation over the tests' catalogue")
    translation_parser.add_argument("--repeats", type=int, default=3, help="builds an entry (default: 3)")
    translation_parser.add_argument("--shown", type=int, default=15, help="slowest shown (default: 15)")
    translation_parser.set_defaults(texts=lambda o: [translation.report(o.repeats, o.shown)])

    hierarchies_parser = commands.add_parser("hierarchies", help="count gradients of hierarchical models")
    hierarchies_parser.add_argument("--seeds", type=int, default=6, help="runs a model (default: 6)")
    hierarchies_parser.set_defaults(texts=lambda o: [hierarchies.table(o.seeds)])

    metrics_parser = commands.add_parser("metrics", help="count gradients of each kind of metric")
    metrics_parser.add_argument("--seeds", type=int, default=5, help="runs a case (default: 5)")
    add_models(metrics_parser, metrics.MODELS)
    metrics_parser.set_defaults(texts=lambda o: metrics.table(o.models, o.seeds))

    warmup_parser = commands.add_parser("warmup", help="what pooling and an early end of warm-up save")
    warmup_parser.add_argument("--seeds", type=int, default=5, help="runs a case (default: 5)")
    warmup_parser.add_argument(
        "--traps", nargs="*", choices=warmup.TRAPS, default=[*warmup.TRAPS], help="chains that get stuck"
    )
    warmup_parser.add_argument("--tune", type=int, help="draws of warm-up (default: the sampler's own)")
    add_models(warmup_parser, metrics.MODELS)
    warmup_parser.set_defaults(texts=lambda o: warmup.table(o.models, o.traps, o.seeds, o.tune))

    batch_parser = commands.add_parser("batch", help="fit thousands of series by one call, and by rivals")
    batch_parser.add_argument(
        "--parts",
        nargs="+",
        choices=BATCH_PARTS,
        default=["speed"],
        metavar="PART",
        help=f"{', '.join(BATCH_PARTS)}; default: speed",
    )
    batch_parser.add_argument("--series", type=int, default=10_000, help="of speed and bad (default: 10000)")
    batch_parser.add_argument("--ragged", type=int, default=2000, help="data sets of ragged (default: 2000)")
    batch_parser.add_argument("--compared", type=int, default=200, help="of exact and warm (default: 200)")
    batch_parser.add_argument(
        "--memory", nargs="+", type=int, default=[10_000, 30_000, 100_000], help="default: 10000 30000 100000"
    )
    batch_parser.add_argument("--cores", type=int, help="default: the machine's")
    rivals = [name for name in batch.RIVALS if importlib.util.find_spec(name)]
    batch_parser.add_argument(
        "--rivals",
        nargs="*",
        choices=batch.RIVALS,
        default=rivals,
        metavar="SAMPLER",
        help=f"{', '.join(batch.RIVALS)}; default: those installed",
    )
    batch_parser.add_argument("--looped", type=int, default=50, help="series a rival fits (default: 50)")
    batch_parser.set_defaults(texts=lambda o: (BATCH_PARTS[part](o) for part in o.parts))

    algebra_parser = commands.add_parser("algebra", help="time gradients with and without exact algebra")
    algebra_parser.add_argument("--repeats", type=int, default=5, help="measurements a model (default: 5)")
    algebra_parser.set_defaults(texts=lambda o: [exact_algebra.table(o.repeats)])

    for command, names in ((run_parser, MODELS), (startup_parser, [*MODELS, *startup.LARGE])):
        add_models(command, names)

    gradient_parser = commands.add_parser("gradient", help="time one evaluation, ours against nutpie's")
    gradient_parser.add_argument("--seeds", type=int, default=3, help="positions a model (default: 3)")
    gradient_parser.set_defaults(texts=lambda o: [gradient.table(evaluations(o))])

    efficiency_parser = commands.add_parser(
        "efficiency", help="count gradients for an effective draw, and compare; results are kept"
    )
    for command in (efficiency_parser, gradient_parser):
        add_models(command, efficiency.BUILDERS)
        command.add_argument(
            "--kept-only", action="store_true", help="measure nothing: the tables of what is there"
        )
        command.add_argument("--timeout", type=float, default=1800, help="seconds a process (default: 1800)")
        command.add_argument(
            "--output",
            type=Path,
            default=RESULTS / command.prog.split()[-1],
            help="folder of the results, one JSON a case",
        )
    efficiency_parser.add_argument(
        "--samplers",
        nargs="+",
        choices=efficiency.SETTINGS,
        default=efficiency.installed(),
        metavar="SAMPLER",
        help=f"{', '.join(efficiency.SETTINGS)}; default: those installed",
    )
    efficiency_parser.add_argument("--seeds", type=int, default=3, help="how many seeds a case (default: 3)")
    efficiency_parser.add_argument("--chains", type=int, default=4, help="default: 4")
    efficiency_parser.add_argument("--draws", type=int, default=1000, help="draws a chain (default: 1000)")
    efficiency_parser.set_defaults(texts=lambda o: [efficiency_table.report(compared(o))])

    table_parser = commands.add_parser("table", help="print the tables of results taken before")
    run_parser.set_defaults(texts=lambda o: tables(run(o)))
    table_parser.set_defaults(texts=lambda o: tables(report.load(o.output)))
    for command in (run_parser, table_parser):
        command.add_argument(
            "--output", type=Path, default=RESULTS, help="folder of the results, one JSON a case"
        )
    return main_parser


def add_models(command: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """Give a command the option that chooses among its models, all by default."""
    names = list(names)
    command.add_argument(
        "--models", nargs="+", choices=names, default=names, metavar="MODEL", help=", ".join(names)
    )


def tables(results: list[report.Result]) -> list[str]:
    """Return the tables of figures and of ratios."""
    return [report.figures_table(results), "", report.ratios_table(results)]


def run(options: argparse.Namespace) -> list[report.Result]:
    """Measure every case that the options ask for; the order of samplers turns round from seed to seed."""
    results = []
    for cache in options.cache:
        for model in options.models:
            with tempfile.TemporaryDirectory() as caches:
                for seed in range(1, options.seeds + 1):
                    for sampler in options.samplers[:: 1 if seed % 2 else -1]:
                        case = case_of(options, model, sampler, seed, cache)
                        results.append(measure(case, Path(caches), options))
    return results


def compared(options: argparse.Namespace) -> list[report.Result]:
    """Return the results of the efficiency comparison that the options ask for."""
    cases = [
        efficiency.Case(model, sampler, seed, options.chains, options.draws)
        for model in options.models
        for sampler in options.samplers
        for seed in range(1, options.seeds + 1)
    ]
    if options.kept_only:
        return [result for case in cases if (result := case.cached(options.output))]
    return efficiency.run(cases, options.output, options.timeout)


def evaluations(options: argparse.Namespace) -> list[report.Result]:
    """Return the timings of single evaluations that the options ask for."""
    if options.kept_only:
        return gradient.load(options.models, options.output)
    return gradient.run(options.models, options.seeds, options.output, options.timeout)


def case_of(options: argparse.Namespace, model: str, sampler: str, seed: int, cache: str) -> Case:
    """Return a case with the model's own length of run where the options do not give another."""
    usual = MODELS[model]
    length = {
        name: getattr(usual, name) if getattr(options, name) is None else getattr(options, name)
        for name in ("chains", "tune", "draws")
    }
    cores = min(options.cores or os.cpu_count() or 1, length["chains"])
    return Case(model, sampler, seed, cache, cores=cores, **length)


def measure(case: Case, caches: Path, options: argparse.Namespace) -> report.Result:
    """Measure one case with the caches that it asks for, and say how it went."""
    if case.cache == "cold":
        with tempfile.TemporaryDirectory() as empty:
            result = run_in_fresh_process(case, Path(empty), options.output, options.timeout)
    else:
        warm = caches / case.sampler
        if not warm.exists():
            warm.mkdir()
            with tempfile.TemporaryDirectory() as unused:
                run_in_fresh_process(filling(case), warm, Path(unused), options.timeout)
        result = run_in_fresh_process(case, warm, options.output, options.timeout)
    took = f"{result['whole_call_s']:.2f} s" if result["status"] == "ok" else result["status"]
    print(f"{case.file_name}: {took}", flush=True)
    return result


def filling(case: Case) -> Case:
    """Return the case that fills the caches for another: a short one, but JAX compiles for a length."""
    return case if case.sampler in ("numpyro", "blackjax") else replace(case, tune=20, draws=20)


if __name__ == "__main__":
    main()
