"""The judge beside its rivals: labelled cases, simulated streams, and what a look costs.

Run it as a script, `python tests/benchmarks/bench_judge.py [CASES]`, or by `make bench`; README.md beside it has what
came out, and why. The labelled cases, the rivals and the simulator are not part of the project: they lie beside the
checkout. Rivals that need scipy, which the project does not, are named and left out where it is not installed.
"""

from __future__ import annotations

import gzip
import importlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import pytest

from deploykit.analysis import cases
from deploykit.analysis.constants import ALPHA, ALPHA_SERIES
from deploykit.analysis.counts import CountWatch
from deploykit.analysis.judge import Bounds, Judge, Observed
from deploykit.analysis.metric import Metric, MetricWatch
from deploykit.analysis.panel import Panel
from deploykit.analysis.rates import Bucket
from deploykit.model import Series

SHARED = Path(__file__).parents[2].parent / "shared"
FILES = ("petshop.jsonl.gz", "nezha.jsonl.gz", "kayenta-issues.jsonl")
#: Simulated releases a scenario.
CASES = int(os.environ.get("DEPLOYKIT_BENCH_CASES", "100"))
OURS = "deploykit"

Labelled = dict[str, Any]


def peer(name: str) -> Any:
    """A module of the rivals."""
    folder = str(SHARED / "peers")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(name)


def rivals() -> dict[str, Any]:
    """Every rival that can be run here."""
    found: dict[str, Any] = {}
    for module in ("kayenta", "argo", "flagger", "naive"):
        try:
            found |= peer(module).VARIANTS
        except ModuleNotFoundError as error:
            say(f"left out: {module}, which needs {error.name}; install it beside the project to see it")
    return found


def say(text: str = "") -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def labelled(name: str) -> list[Labelled]:
    data = (SHARED / "judge-data" / name).read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()]


def parsed(one: Labelled) -> cases.Case:
    """A case without its answer."""
    return cases.parse(json.dumps(peer("common").blind(one)))


def verdicts(given: list[Labelled]) -> list[dict[str, Any]]:
    return [cases.judge(parsed(one)).line() for one in given]


# The evaluator's table


def labelled_tables() -> None:
    """Each file with every rival."""
    evaluate, others = peer("evaluate"), rivals()
    for name in FILES:
        given = labelled(name)
        rows = [(OURS, evaluate.evaluate(given, verdicts(given)))]
        blind = [peer("common").blind(one) for one in given]
        for rival, judge in others.items():
            rows.append((rival, evaluate.evaluate(given, [judge(one) for one in blind])))
        say(f"\n{name}\n{evaluate.table(rows)}")
        for one, answer in zip(given, verdicts(given), strict=True):
            if answer["verdict"] != ("rollback" if one["label"] == "bad" else "pass"):
                say(f"  {one['id']} {one['label']:4} {answer['verdict']:8} {one['source']}: {answer['reason'][:110]}")


# Does the threshold carry over?

LEVELS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1)


def crossings(one: Labelled) -> dict[float, float | None]:
    """For each alpha, when the case would be sent back."""
    case = parsed(one)
    panel, path = cases.panel_of(case), []
    for at, seen in cases.moments(case):
        panel.update(at, seen)
        path.append((at, panel.evidence[1] * -math.log(ALPHA_SERIES)))
    return {alpha: next((at for at, log_e in path if log_e >= -math.log(alpha)), None) for alpha in LEVELS}


def f1_at(given: list[tuple[Labelled, dict[float, float | None]]], alpha: float) -> float:
    right = wrong = bad = 0
    for one, found in given:
        bad += one["label"] == "bad"
        at = found[alpha]
        in_time = one["label"] == "bad" and at is not None and at >= one["onset_at"]
        right, wrong = right + in_time, wrong + (at is not None and not in_time)
    return 2 * right / max(right + wrong + bad, 1)


def carried_over() -> None:
    """The best alpha on all other groups, tried on each group: files, then runs and days within them."""
    known = {name: [(one, crossings(one)) for one in labelled(name)] for name in FILES[:2]}
    say(f"\n{'alpha':>8}" + "".join(f"{name.split('.')[0]:>10}" for name in known) + "   F1 of plain series")
    for alpha in LEVELS:
        mark = "  <- fixed" if alpha == ALPHA_SERIES else ""
        say(f"{alpha:8.3f}" + "".join(f"{f1_at(given, alpha):10.3f}" for given in known.values()) + mark)
    say(f"\n{'left out':34}{'cases':>6}{'alpha':>8}{'F1 there':>10}{'F1 fixed':>10}")
    everything = [pair for given in known.values() for pair in given]
    groups = [name.split(".")[0] for name in known]
    groups += sorted({"/".join(one["source"].split("/")[:2]) for one, _ in everything})
    for name in groups:
        there = [pair for pair in everything if pair[0]["source"].startswith(f"{name}/")]
        others = [pair for pair in everything if not pair[0]["source"].startswith(f"{name}/")]
        best = max(LEVELS, key=lambda alpha: (f1_at(others, alpha), -abs(alpha - ALPHA_SERIES)))
        say(f"{name:34}{len(there):6d}{best:8.3f}{f1_at(there, best):10.3f}{f1_at(there, ALPHA_SERIES):10.3f}")


def without_a_release() -> None:
    """Deployments that never were, inside the baselines: how many are sent back for nothing."""
    say(f"\n{'never deployed, within baselines':34}{'points':>7}{'windows':>8}{'sent back':>10}")
    for name, length in ((FILES[0], 5), (FILES[1], 9), (FILES[1], 30)):
        made = [one for given in labelled(name) for one in windows(given, length)]
        back = sum(answer["verdict"] == "rollback" for answer in verdicts(made))
        say(f"{name:34}{length:7d}{len(made):8d}{back / len(made):10.3f}")


def windows(one: Labelled, length: int) -> Iterator[Labelled]:
    """The baseline of a case cut into a past and a release that changed nothing. Put-together ones are left out."""
    if one["source"].startswith("petshop") and one["label"] == "bad":
        return
    times = sorted({at for metric in one["metrics"] for at, _ in metric["baseline"]})
    for end in range(len(times), 15 + length, -max(length, 20)):
        change, last = times[end - length - 1], times[end - 1]
        metrics = []
        for metric in one["metrics"]:
            live = [[at, value] for at, value in metric["baseline"] if change < at <= last]
            if any(value is not None for _, value in live):
                metrics.append(metric | {"live": live})
        if metrics:
            yield one | {"label": "good", "onset_at": None, "change_at": change, "metrics": metrics}


# Streams


def scenarios() -> dict[str, Any]:
    """The rivals' own scenarios, and those that the judge is bound to."""
    stream = peer("stream").Stream
    looking = stream(step_s=10, rate=100.0, base_error=0.0005, schedule=((0.10, 1800),))
    steady = replace(looking, drift=0.0, bursts_per_hour=0.0)
    # 5 % of requests over 500 ms, then 10 %: quantiles of the normal, in the simulator's own spread.
    doubled = math.exp((1.6449 - 1.2816) * 0.6) - 1
    at_limit = 500 / math.exp(1.6449 * 0.6)
    return {
        "same, looking for 30 min": looking,
        "same, 0.5 %, overdispersed": replace(looking, base_error=0.005, overdispersion=0.002),
        "same, 4 bursts an hour": replace(looking, base_error=0.005, bursts_per_hour=4.0),
        "same, half of the traffic": replace(looking, schedule=((0.50, 1800),)),
        "ten times the errors": replace(looking, candidate_error=0.005),
        "ten times the errors, steady": replace(steady, candidate_error=0.005),
        "p95 exceedance doubled": replace(looking, median_ms=at_limit, latency_shift=doubled),
        "all traffic at once, same": replace(looking, schedule=((1.0, 3600),)),
        "all traffic at once, 10x later": replace(
            looking, schedule=((1.0, 3600),), candidate_error=0.005, onset_s=1800
        ),
        "1 request a second": replace(looking, rate=1.0),
        "1 request a second, 10 times": replace(looking, rate=1.0, candidate_error=0.005),
        **peer("stream_report").SCENARIOS,
    }


def theoretical(made: list[Labelled], rates: tuple[float, float], count: Callable[[Any], float]) -> float:
    """The median delay of a test that knows both rates (Wald's), on the same streams; inf where it finds none.

    Args:
        made: The streams.
        rates: Before and after.
        count: The events of a bucket.
    """
    (good, bad), delays = rates, []
    for one in made:
        log_e, delay = 0.0, math.inf
        for look in one["counts"]["live"]:
            if look["t"] <= one["onset_at"]:
                continue
            log_e += count(look) * math.log(bad / good) - look["requests"] * (bad - good)
            if log_e >= -math.log(ALPHA):
                delay = look["t"] - one["onset_at"]
                break
        delays.append(delay)
    return median(delays)


def streams(count: int = CASES, *, alone: bool = False) -> None:
    """How often a harmless release is sent back, and how soon a bad one."""
    judges = {} if alone else rivals()
    edge = peer("stream").EDGES_MS.index(500) + 1
    head = f"\n{'scenario':34}{'judge':14}{'sent back':>10}{'hold':>7}{'early':>7}{'p50 s':>8}{'p90 s':>8}"
    say(f"{head}   ({count} releases each)")
    for scenario, stream in scenarios().items():
        made = list(peer("stream").cases(stream, count, 2))
        answers = {OURS: verdicts(made)}
        blind = [peer("common").blind(one) for one in made]
        answers |= {name: [judge(one) for one in blind] for name, judge in judges.items()}
        for name, answer in answers.items():
            found = peer("evaluate").evaluate(made, answer)
            back = found["recall"] if stream.bad else found["good_abort_rate"]
            hold = found["hold_rate_bad" if stream.bad else "hold_rate_good"]
            delays = ("-" if d is None else f"{d:.0f}" for d in (found["delay_median_s"], found["delay_p90_s"]))
            early = found["early"]
            say(f"{scenario:34}{name:14}{back:10.3f}{hold:7.3f}{early:7d}" + "".join(f"{delay:>8}" for delay in delays))
        limit = None
        if stream.candidate_error is not None:
            limit = theoretical(made, (stream.base_error, stream.candidate_error), lambda look: float(look["errors"]))
        elif scenario.startswith("p95"):
            limit = theoretical(made, (0.05, 0.10), lambda look: math.fsum(look["histogram"][edge:]))
        if limit is not None:
            say(f"{'':34}{'knows both':14}{'':24}{limit:8.0f}")


# What a look costs


def cost(metrics: int = 20, looks: int = 1440) -> tuple[float, float]:
    """Seconds of a look at all metrics, each with a past of a day a minute, at the beginning and at the end."""
    past = [(60.0 * minute, 100.0 + minute % 7) for minute in range(1440)]
    counts = [(Metric("errors", "fraction"), CountWatch([(at, 1000.0, at % 3) for at, _ in past]))]
    series = [(one := Metric(f"m{n}", "ms"), MetricWatch(one, past, controlled=n % 2 == 0)) for n in range(metrics)]
    panel, spent = Panel(counts, series), []
    for look in range(looks):
        seen: dict[str, Any] = {f"m{n}": (100.0 + look % 7, 101.0 + look % 5) for n in range(metrics)}
        seen["errors"] = Bucket(100, look % 9 == 0, 900, look % 2)
        before = process_time()
        panel.update(90_000.0 + 10 * look, seen)
        panel.verdict()
        spent.append(process_time() - before)
    quarter = looks // 4
    return median(spent[quarter // 2 : quarter]), median(spent[-quarter:])


def costs() -> None:
    """Print what a look costs."""
    first, last = cost()
    ratio = f"{last / first:.2f} times as much"
    say(f"\n20 metrics, a look: {1000 * first:.1f} ms in the first hour, {1000 * last:.1f} ms after four, {ratio}")
    first, last = whole_look()
    told = f"{1000 * first:.0f} ms in the first ten minutes, {1000 * last:.0f} ms after two hours"
    say(f"the same with everything since the beginning handed over again: {told}, {last / first:.2f} times as much")


def whole_look(metrics: int = 20, looks: int = 720) -> tuple[float, float]:
    """Seconds of `Judge.look`, as a shift calls it: newest points still changing, and all points given each time."""
    every = [10.0 * look for look in range(looks)]

    def seen(times: list[float]) -> Observed:
        counts = {
            name: Series(name=name, unit="requests", points=tuple((at, level + at % 3) for at in times))
            for name, level in (("requests", 900.0), ("errors", 0.0), ("slow", 9.0))
        }
        points = tuple((at, 100.0 + at % 7) for at in times)
        plain = ((Metric(f"m{n}", "ms"), Series(name=f"m{n}", unit="ms", points=points)) for n in range(metrics))
        return Observed(**counts, plain=tuple(plain))

    judge, spent = Judge(Bounds(0.001, 0.05, 100, 60.0, 60.0), seen([at - 14_400 for at in every])), []
    for look in range(1, looks):
        arm = seen(every[:look])
        before = process_time()
        judge.look(arm, arm, every[look])
        spent.append(process_time() - before)
    return median(spent[30:90]), median(spent[-60:])


# For pytest


@pytest.fixture
def beside() -> None:
    if not (SHARED / "judge-data").is_dir():
        pytest.skip("the labelled cases are not beside this checkout")
    pytest.importorskip("numpy", reason="the simulator and the rivals need numpy")


def test_labelled_cases(beside: None) -> None:
    labelled_tables()


def test_thresholds_carry_over(beside: None) -> None:
    carried_over()
    without_a_release()


def test_streams(beside: None) -> None:
    streams()


def test_a_look_costs_the_same_always() -> None:
    costs()


if __name__ == "__main__":
    labelled_tables()
    carried_over()
    without_a_release()
    costs()
    streams(int(sys.argv[1]) if len(sys.argv) > 1 else CASES)
