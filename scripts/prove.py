"""The long campaigns: the tests that get better with every repeat, run for as long as you like.

A campaign is an ordinary test that is told how many points to try and at which seed to begin
(`aitrading.core.testing.campaign`). It runs in chunks. After each chunk the dated result file is
written, so Ctrl-C loses at most one chunk and the next call goes on behind it. A new result file
goes on behind the seeds of the last one: no seed is tried twice. A chunk that failed is kept with
its output and tried again at the next call.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.testing.campaign import POINTS, SEED, TALLY

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SOURCES = ("core", "server", "client", "tests")
OUTPUT_LINES_KEPT = 20
CLEAN_UP_TIMEOUT_S = 60
CLOCK = SystemClock()
EXIT_FAILED, EXIT_INTERRUPTED = 1, 130


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """One test that can be long: how many points are a campaign, and how many are one chunk."""

    name: str
    test: str
    unit: str
    size: int
    chunk: int
    question: str


CAMPAIGNS = (
    Campaign(
        name="link-simulation",
        test="core/tests/protocol/test_link_delivery.py::test_a_range_of_seeds_each_with_its_own_mixture_of_faults",
        unit="seeds",
        size=20_000,
        chunk=500,
        question="Does every tick cross a link that loses, repeats, damages and cuts, once?",
    ),
    Campaign(
        name="spool-power-loss",
        test="core/tests/infrastructure/test_spool_power_loss.py::test_a_power_cut_loses_doubles_and_changes_nothing_acknowledged",
        unit="power cuts",
        size=2_000,
        chunk=100,
        question="Is everything the spool acknowledged on the disk after the power was cut?",
    ),
    Campaign(
        name="spool-kills",
        test="core/tests/infrastructure/test_spool.py::test_kill_9_in_the_middle_of_appends_keeps_every_acknowledged_record",
        unit="kills",
        size=500,
        chunk=25,
        question="Is everything the spool acknowledged there after kill -9 of its writer?",
    ),
    Campaign(
        name="tick-writer-kills",
        test="server/tests/database_service/test_kill.py::test_kills_at_any_moment",
        unit="kills",
        size=500,
        chunk=20,
        question="Is every tick in ClickHouse once after kill -9 of the writer at any moment?",
    ),
    Campaign(
        name="bridge-kills",
        test="tests/link/test_kills.py::test_bridge_killed_again_and_again",
        unit="kills",
        size=200,
        chunk=10,
        question="Is every tick stored once after kill -9 of the bridge under load?",
    ),
    Campaign(
        name="client-kills",
        test="tests/link/test_kills.py::test_client_killed_again_and_again",
        unit="kills",
        size=200,
        chunk=10,
        question="Is every tick stored once after kill -9 of the client under load?",
    ),
    Campaign(
        name="platform-lives",
        test="tests/lifecycle/test_lives.py::test_no_life_leaves_a_process_or_loses_a_tick",
        unit="starts",
        size=200,
        chunk=5,
        question="Does a platform that is ended in any way leave nothing running and nothing lost?",
    ),
    Campaign(
        name="platform-power-loss",
        test="tests/lifecycle/test_power_cut.py::test_the_platform_survives_power_cuts",
        unit="power cuts",
        size=100,
        chunk=5,
        question="Does a platform start by itself after a power cut, with every tick it showed?",
    ),
    Campaign(
        name="replayed-day",
        test="tests/e2e/test_replayed_day.py::test_a_replayed_day_is_stored_bit_for_bit_whatever_is_cut_and_killed",
        unit="faults",
        size=43,
        chunk=43,
        question="Is a day stored bit for bit, 100 times as fast, while things are cut and killed?",
    ),
    Campaign(
        name="replayed-minutes",
        test="tests/e2e/test_replayed_day.py::test_the_busiest_minutes_of_a_day_are_stored_at_their_own_speed",
        unit="minutes",
        size=20,
        chunk=20,
        question="Are a day's busiest minutes stored bit for bit at their own speed, cut and killed?",
    ),
    Campaign(
        name="fuzz-decoders",
        test="tests/prove/test_fuzz_decoders.py::test_no_decoder_does_anything_but_read_or_refuse",
        unit="seconds of each decoder",
        size=600,
        chunk=30,
        question="Does any decoder of untrusted bytes do anything but read or refuse?",
    ),
    Campaign(
        name="hunted-interface",
        test="tests/e2e/test_hunted_interface.py::test_nothing_that_a_stranger_makes_up_breaks_or_reveals_anything",
        unit="examples of each operation for each role",
        size=1_000,
        chunk=50,
        question="Does the interface stand whatever a generator makes of its own document?",
    ),
)


@dataclass(kw_only=True)
class Failure:
    """A chunk that failed; `passed_at` is the revision at which the same seeds passed later."""

    first: int
    count: int
    revision: str
    output: list[str]
    passed_at: str | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a campaign is."""

    unit: str
    question: str
    first: int
    size: int = 0
    done: int = 0
    seconds: float = 0.0
    skipped: str = ""
    tally: dict[str, int] = field(default_factory=dict[str, int])
    revisions: list[str] = field(default_factory=list[str])
    failures: list[Failure] = field(default_factory=list[Failure])

    @property
    def verdict(self) -> str:
        """In one word."""
        if any(failure.passed_at is None for failure in self.failures):
            return "FAILED"
        if self.skipped:
            return "skipped"
        if not self.size:
            return "not run"
        return "passed" if self.done >= self.size else "unfinished"


@dataclass(kw_only=True)
class Results:
    """One dated file."""

    path: Path
    started: str
    machine: dict[str, str]
    campaigns: dict[str, Progress]

    @classmethod
    def open(cls, *, fresh: bool) -> "Results":
        """The newest file while it is unfinished, else a new one behind all seeds tried so far."""
        known = [cls._load(path) for path in sorted(RESULTS.glob("prove-*.json"))]
        today = RESULTS / f"prove-{now()[:10]}.json"
        if known and (known[-1].path == today or (known[-1].unfinished and not fresh)):
            return known[-1]
        following: Counter[str] = Counter()
        for earlier in known:
            for name, progress in earlier.campaigns.items():
                following[name] = max(following[name], progress.first + progress.done)
        campaigns = {
            one.name: Progress(
                unit=one.unit, question=one.question, first=max(1, following[one.name])
            )
            for one in CAMPAIGNS
        }
        return cls(path=today, started=now(), machine=machine(), campaigns=campaigns)

    @classmethod
    def _load(cls, path: Path) -> "Results":
        stored = json.loads(path.read_text(encoding="utf-8"))
        campaigns = {
            name: Progress(
                **{**progress, "failures": [Failure(**one) for one in progress["failures"]]}
            )
            for name, progress in stored["campaigns"].items()
        }
        return cls(
            path=path, started=stored["started"], machine=stored["machine"], campaigns=campaigns
        )

    @property
    def unfinished(self) -> bool:
        """Whether a call would have something to do."""
        return any(one.verdict in {"unfinished", "FAILED"} for one in self.campaigns.values())

    def save(self) -> None:
        """Write all of it, or nothing."""
        content = {
            "started": self.started,
            "updated": now(),
            "machine": self.machine,
            "campaigns": {name: asdict(one) for name, one in self.campaigns.items()},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.path)


def run_campaign(campaign: Campaign, results: Results, size: int) -> None:
    """Run chunk after chunk until the size is reached or a chunk fails."""
    progress = results.campaigns.setdefault(
        campaign.name, Progress(unit=campaign.unit, question=campaign.question, first=1)
    )
    progress.size, progress.skipped = size, ""
    while progress.done < progress.size:
        count = min(campaign.chunk, progress.size - progress.done)
        say(campaign, progress)
        if not run_chunk(campaign, progress, progress.first + progress.done, count):
            break
        results.save()
    results.save()
    say(campaign, progress, end="\n")


def run_chunk(campaign: Campaign, progress: Progress, first: int, count: int) -> bool:
    """Try some points; whether the campaign may go on."""
    began_ns, revision = CLOCK.monotonic_ns(), revision_now()
    code, output, tallies = run_test(campaign.test, first, count)
    if code != 0:
        again = [one for one in progress.failures if one.passed_at or one.first != first]
        failure = Failure(first=first, count=count, revision=revision, output=output)
        progress.failures = [*again, failure]
        return False
    if not tallies:
        told = [line for line in output if line.startswith("SKIPPED")]
        progress.skipped = told[-1].partition(": ")[2] if told else "the test counted nothing"
        return False
    tally = Counter(progress.tally)
    for counted in tallies:
        tally.update(counted)
    progress.tally = dict(tally)
    progress.done += count
    progress.seconds = round(progress.seconds + (CLOCK.monotonic_ns() - began_ns) / NS_PER_S, 1)
    if revision not in progress.revisions:
        progress.revisions.append(revision)
    for failure in progress.failures:
        if failure.passed_at is None and first + count >= failure.first + failure.count:
            failure.passed_at = revision
    return True


def run_test(test: str, first: int, count: int) -> tuple[int, list[str], list[dict[str, int]]]:
    """Run one test in a process group of its own; gives exit code, last lines and tallies."""
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        tally = Path(folder) / "tally"
        with subprocess.Popen(  # noqa: S603 - a test of this repository
            [
                *(sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:randomly"),
                *("-p", "no:cacheprovider", f"--basetemp={folder}/tests", test),
            ],
            cwd=ROOT,
            env={**os.environ, POINTS: str(count), SEED: str(first), TALLY: str(tally)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate()
            except KeyboardInterrupt:
                end(process)
                raise
        plain = said.replace(folder, "…").replace(str(ROOT) + "/", "")
        lines = worth_keeping([line for line in plain.splitlines() if line.strip()])
        counted = tally.read_text(encoding="utf-8").splitlines() if tally.exists() else []
        return process.returncode, lines, [json.loads(line) for line in counted]


def worth_keeping(lines: list[str]) -> list[str]:
    """What tells the cause, from the end of a long output."""
    last = lines[-OUTPUT_LINES_KEPT:]
    causes = [line for line in lines[: -len(last)] if line.startswith("E ")]
    return causes[-OUTPUT_LINES_KEPT:] + last


def end(process: "subprocess.Popen[str]") -> None:
    """Let a test clean up after itself, then end it."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=CLEAN_UP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


def say(campaign: Campaign, progress: Progress, end: str = "") -> None:
    """One line of progress, rewritten on a terminal."""
    share = progress.done / progress.size if progress.size else 1.0
    line = (
        f"{campaign.name:<20} {progress.done:>7,} of {progress.size:,} {campaign.unit}"
        f"  {share:>4.0%}  {progress.seconds:,.0f} s"
    )
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)


def summary(results: Results) -> str:
    """A table of all campaigns."""
    lines = [f"{'campaign':<20} {'verdict':<10} {'done':>8} {'seconds':>8}  counted"]
    for name, one in results.campaigns.items():
        counted = ", ".join(f"{what} {number:,}" for what, number in one.tally.items())
        told = one.skipped or counted
        lines.append(f"{name:<20} {one.verdict:<10} {one.done:>8,} {one.seconds:>8,.0f}  {told}")
        lines += [
            line
            for failure in one.failures
            if failure.passed_at is None
            for line in ("", f"  {one.unit} from {failure.first}:", *failure.output, "")
        ]
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "processors": str(os.cpu_count()),
    }


def revision_now() -> str:
    """The commit, and whether something was changed since."""
    commit = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)
    return f"{commit} with changes" if changed else commit


def git(*arguments: str) -> str:
    """The answer of git; empty where there is no repository."""
    program = shutil.which("git")
    if program is None:
        return ""
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def now() -> str:
    """The time as the result file tells it."""
    moment = datetime.fromtimestamp(CLOCK.now_ns() / NS_PER_S, tz=UTC)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """What the person asked for."""
    names = [one.name for one in CAMPAIGNS]
    parser = argparse.ArgumentParser(prog="make prove", description="Run the long campaigns.")
    parser.add_argument("--scale", type=float, default=1.0, help="multiply every campaign's size")
    parser.add_argument("--only", action="append", choices=names, help="one campaign; repeatable")
    parser.add_argument("--new", action="store_true", help="leave an unfinished result file")
    parser.add_argument("--list", action="store_true", help="tell what there is and what it asks")
    return parser.parse_args(given)


def main() -> int:
    """Run what is not done; 0 when every campaign that can run here has passed."""
    asked = arguments(sys.argv[1:])
    if asked.list:
        for one in CAMPAIGNS:
            print(f"{one.name:<20} {one.size:>7,} {one.unit:<11} {one.question}")
        return 0
    results = Results.open(fresh=asked.new)
    try:
        for campaign in CAMPAIGNS:
            if not asked.only or campaign.name in asked.only:
                run_campaign(campaign, results, max(1, round(campaign.size * asked.scale)))
    except KeyboardInterrupt:
        results.save()
        print("\nstopped; the next call goes on from here", file=sys.stderr)
        print(summary(results))
        return EXIT_INTERRUPTED
    print(summary(results))
    failed = any(one.verdict == "FAILED" for one in results.campaigns.values())
    return EXIT_FAILED if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
