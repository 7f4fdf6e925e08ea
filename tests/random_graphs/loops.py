"""Statements that hold a graph of their own: OpFromGraph and Scan."""

from __future__ import annotations

from collections.abc import Callable

from leaves import broadcast, fit, real, reals
from program import BINDINGS, Entry, Program, require

INNER: list[Callable[[Program], None]] = []  # statements of the inner graphs, which `steps` knows


def inner_graph(program: Program) -> None:
    """An OpFromGraph of one or two results, with another one inside of it at times."""
    arguments = [real(program) for _ in range(program.integer(1, 2))]
    require(len(set(arguments)) == len(arguments))
    name = f"f{program.count}"
    with program.body(name, arguments) as results:
        made = statements(program) or [program.emit(f"{arguments[0]} + 0.0", arguments, *like(arguments[0]))]
        results += map(str, made[-2:])
    call = f"inner_graph({name}, {', '.join(map(str, arguments))})"
    for k, entry in enumerate(made[-2:]):
        program.emit(f"{call}[{k}]", arguments, *like(entry))


def loop(program: Program) -> None:
    """A Scan: sequences at one or two steps, a state at one or two lags, a collected value, constants."""
    lengths = []
    sequences = []
    for _ in range(program.integer(0, 2)):
        x = real(program, lambda x: x.ndim > 0 and len({s[0] for s in x.shapes}) == 1 and x.shapes[0][0] > 2)
        require(x.var.type.shape[0] != 1)
        taps = program.choose([[0], [0], [-1, 0], [0, 1]])
        sequences.append((x, taps))
        lengths.append(x.shapes[0][0] - len(taps) + 1)
    backwards = all(taps == [0] for _, taps in sequences) and program.flag()
    steps = min(lengths, default=program.integer(1, 4))
    lags = program.choose([[-1], [-1], [-2, -1], [-1, -2], [-2]])
    if lags == [-1]:
        state = real(program, lambda x: x.ndim < 3)
    else:
        state = reals(program, [(2, *program.choose([(), (2,), (3,)]))] * BINDINGS)
    require(state.var.dtype == "float64")  # as the next states
    constants = [real(program) for _ in range(program.integer(0, 2))]
    # Two entries can be one variable; of a single step PyTensor takes the state for a constant, too.
    once = [x.var for x in constants] + ([state.var] if steps == 1 else [])
    require(len(set(once)) == len(once))

    # The arguments of the body, as it sees them.
    before = len(program.entries), set(program.unused)
    arguments = [
        program.trace(f"{x}[0]", x, [shape[1:] for shape in x.shapes], x.low, x.high)
        for x, taps in sequences
        for _ in taps
    ]
    low, high = min(state.low, -1), max(state.high, 1)
    rows = [shape[0 if lags == [-1] else 1 :] for shape in state.shapes]
    text = str(state) if lags == [-1] else f"{state}[0]"
    past = [program.trace(text, state, rows, low, high) for _ in lags]
    arguments += past
    arguments += [program.trace(str(x), x, x.shapes, x.low, x.high) for x in constants]
    del program.entries[before[0] :]
    program.unused = before[1]

    name = f"f{program.count}"
    with program.body(name, arguments) as results:
        made = statements(program)
        used = program.find("real", where=lambda x: broadcast(past[0], x) == rows and x.ndim <= past[0].ndim)
        used = fit(program, used or past[0], -4, 4)
        total = " + ".join(f"{0.5 * (k + 1)} * {x}" for k, x in enumerate(past))
        new = program.emit(f"pt.tanh({total} + {used} - 0.25)", [*past, used], rows, -1, 1)
        require(new.var.type.shape == past[0].var.type.shape)
        results.append(str(new))
        collected = made[-1:]
        results += map(str, collected)
    given = ", ".join(f"({x}, {taps})" for x, taps in sequences)
    call = (
        f"loop({name}, [{given}], ({state}, {lags}), [{', '.join(map(str, constants))}], "
        f"collected={len(collected)}, steps={steps}, backwards={backwards})"
    )
    inputs = [*(x for x, _ in sequences), state, *constants]
    for k, entry in enumerate([new, *collected]):
        shapes = [(steps, *shape) for shape in entry.shapes]
        program.emit(f"{call}[{k}]", inputs, shapes, entry.low, entry.high)


def statements(program: Program) -> list[Entry]:
    """A few statements inside; those that depend on the arguments."""
    before = len(program.entries)
    for _ in range(program.integer(1, 4)):
        program.step(INNER)
    return [entry for entry in program.entries[before:] if not entry.fixed]


def like(entry: Entry) -> tuple:
    """Shapes and range of an entry."""
    return entry.shapes, entry.low, entry.high
