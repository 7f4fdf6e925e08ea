"""Command of the full size: ``python -m tests.calibration --fits 500``, also with ``--batch``."""

import argparse
import sys
import time

from .models import CASES
from .simulate import LEVELS, THINNING, choices, ranks
from .uniformity import p_value


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.calibration", description="Simulation-based calibration."
    )
    parser.add_argument("--fits", type=int, default=500, help="data sets a model (500)")
    parser.add_argument("--metric", nargs="+", default=choices("metric"), help="metrics (all)")
    parser.add_argument("--kind", nargs="+", default=choices("kind"), help="kinds of trajectory (all)")
    parser.add_argument("--model", nargs="+", default=list(CASES), choices=CASES, help="models (all)")
    parser.add_argument("--chains", type=int, default=1, help="chains a fit (1); pooling takes several")
    parser.add_argument("--pool", action="store_true", help="with the option of that name")
    parser.add_argument("--early-stop", action="store_true", help="with the option of that name")
    parser.add_argument("--as-written", action="store_true", help="with `reparametrise=False`")
    parser.add_argument("--batch", action="store_true", help="by sample_batch, all data sets in one call")
    parser.add_argument("--warm-start", action="store_true", help="with a pilot, with --batch")
    parser.add_argument("--marginalise", action="store_true", help="with the option of that name")
    parser.add_argument(
        "--thinning",
        type=int,
        default=THINNING,
        help=f"draws for one that is ranked ({THINNING}); where chains mix slowly more are needed",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alarm", type=float, default=1e-6, help="probability of any false alarm (1e-6)")
    return parser.parse_args()


def main() -> int:
    """Run, print a line a model and setting, and return 1 if any ranks are not uniform."""
    arguments = _parsed()
    values = {}
    for metric in arguments.metric:
        for kind in arguments.kind:
            for model in arguments.model:
                began = time.perf_counter()
                flags = ("pool", "early_stop", "marginalise")
                given = {flag: getattr(arguments, flag) for flag in flags}
                given["reparametrise"] = False if arguments.as_written else "auto"
                options = {"metric": metric, "kind": kind, **given}
                if arguments.warm_start:
                    options["warm_start"] = True
                how = {"chains": arguments.chains, "batch": arguments.batch, "thinning": arguments.thinning}
                found = ranks(CASES[model], arguments.fits, arguments.seed, options, **how)
                p = {name: p_value(r, LEVELS) for name, r in found.items()}
                values.update({(metric, kind, model, name): value for name, value in p.items()})
                least = min(p, key=p.__getitem__)
                seconds = time.perf_counter() - began
                line = f"{metric:12} {kind:8} {model:26} {len(p):3} ranked, least p {p[least]:.2g} ({least})"
                print(f"{line}, {seconds:.0f} s", flush=True)
    bound = arguments.alarm / len(values)
    failed = {setting: p for setting, p in values.items() if p < bound}
    for setting, p in failed.items():
        print("NOT CALIBRATED:", *setting, f"p = {p:.2g}")
    print(f"{len(values)} tests, {len(failed)} failed at p < {bound:.2g}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
