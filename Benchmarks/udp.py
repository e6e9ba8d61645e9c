#!/usr/bin/env python3
"""UDP: Clearway beside kernel routing, kernel NAT and itself without batches, on the same work, in one run, interleaved.

The networks, the turns and the care for what is left behind are bench.py's. See README.md beside this file.
"""

import argparse
import os
import platform
import re
import statistics
import sys
from pathlib import Path

# Its compiled form would be left beside it, and be root's.
sys.dont_write_bytecode = True

from bench import HERE, NAT, PEERS, Bench, BenchError, Contender, Proxy, busy_share, command, ratio, run_as_root
from report import close, cpu_seconds, in_turn, in_words, names_from, print_rows

# The client's addresses from which questions are asked: 16 × 64,512 ports, so that none comes again within a round.
SOURCES_FROM, SOURCES = "10.77.1.16", 16
# Of datagrams that get lost, the part (0…1) up to which a round counts.
LOSS = 0.001


# ---- The contenders


class Routing(Contender):
    def set_up(self):
        super().set_up()
        with_sources(self)


class UDPNAT(NAT):
    def set_up(self):
        super().set_up()
        with_sources(self)


class Clearway(Proxy):
    batch = 256

    def set_up(self):
        super().set_up()
        with_sources(self)

    def start(self):
        log, configuration = self.directory / "clearway.log", self.directory / "clearway.toml"
        log.unlink(missing_ok=True)
        text = (PEERS / "clearway-udp.toml").read_text()
        configuration.write_text(text.replace("@DIRECTORY@", str(self.directory)).replace("@BATCH@", str(self.batch)))

        def ready():
            said = log.read_bytes() if log.exists() else b""
            return re.search(rb"\bnotice\b.*\bready\b", said + self.errors.read_bytes()) is not None

        self.launch([self.bench.clearway, "run", "-c", configuration], ready)


class ClearwayOneByOne(Clearway):
    batch = 1


class ClearwayBefore(Clearway):
    """Another build, to compare (--before)."""

    def launch(self, arguments, ready):
        super().launch([self.bench.before if part is self.bench.clearway else part for part in arguments], ready)


def with_sources(contender):
    network, (prefix, _, first) = contender.network, SOURCES_FROM.rpartition(".")
    lines = "".join(f"address add {prefix}.{int(first) + i}/24 dev up0\n" for i in range(SOURCES))
    command("ip", "-n", network.client, "-batch", "-", stdin=lines)


CONTENDERS = {"routing": Routing, "nat": UDPNAT, "clearway": Clearway, "clearway-1": ClearwayOneByOne, "before": ClearwayBefore}


# ---- The measures


class Measure:
    """One kind of load. Processes go where the scheduler puts them, or client and server on one CPU and the proxy on another."""

    def __init__(self, *arguments, is_pinned=False, without=()):
        self.arguments, self.is_pinned, self.without = arguments, is_pinned, without

    def run(self, contender, seconds):
        network, server = contender.network, contender.network.load_server.pid
        proxy_before = contender.cpu_seconds() if contender.is_proxy else 0
        server_before, began = cpu_seconds(server), os.times().elapsed
        figures = network.load(*self.arguments, "--seconds", str(seconds), seconds=seconds)
        passed = os.times().elapsed - began
        figures["server_busy"] = (cpu_seconds(server) - server_before) / passed
        if contender.is_proxy:
            used = contender.cpu_seconds() - proxy_before
            figures["proxy_busy"] = used / passed
            figures["per_proxy_second"] = (figures["sent"] - figures["lost"]) / max(used, 0.01)
        return figures


def echo(size, flows=64, window=32, burst=1, **options):
    return Measure("echo", "--flows", str(flows), "--window", str(window), "--size", str(size), "--burst", str(burst), **options)


MEASURES = {
    "echo-64": echo(64), "echo-1200": echo(1200),
    "bursts": echo(1200, flows=8, window=2, burst=32),
    # NAT is left out: it keeps a port for each question for 30 s, and has none left after two.
    "questions": Measure("query", "--concurrency", "1024", "--source", SOURCES_FROM, "--sources", str(SOURCES),
                         is_pinned=True, without=("nat",)),
}

# measure, figure, label, unit, divisor, decimals
FIGURES = [
    ("echo-64", "per_second", "64 B there and back, 64 flows", "/s", 1, 0),
    ("echo-64", "loss", "  lost", "%", 0.01, 3),
    ("echo-1200", "per_second", "1,200 B there and back, 64 flows", "/s", 1, 0),
    ("echo-1200", "loss", "  lost", "%", 0.01, 3),
    ("bursts", "gbit", "bursts of 32 × 1,200 B, 8 flows", "Gbit/s", 1, 2),
    ("bursts", "loss", "  lost", "%", 0.01, 3),
    ("questions", "per_second", "questions, a new flow each", "/s", 1, 0),
    ("questions", "p50_us", "  p50", "µs", 1, 0),
    ("questions", "p99_us", "  p99", "µs", 1, 0),
    ("questions", "loss", "  lost", "%", 0.01, 3),
]
# The same for every measure.
COST = [("per_proxy_second", "  per second of the proxy's time", "", 1, 0), ("proxy_busy", "  proxy busy", "%", 0.01, 0),
        ("client_busy", "  client busy", "%", 0.01, 0), ("server_busy", "  server busy", "%", 0.01, 0)]

# measure, figure, in words, what is compared, least
BARS = [
    ("echo-64", "per_second", "≥ 0.5 × NAT", "nat", 0.5), ("echo-64", "per_second", "≥ 2 × batch = 1", "clearway-1", 2),
    ("echo-1200", "per_second", "≥ 0.5 × NAT", "nat", 0.5), ("echo-1200", "per_second", "≥ 2 × batch = 1", "clearway-1", 2),
    ("bursts", "gbit", "≥ 3 × batch = 1", "clearway-1", 3),
    ("questions", "per_second", "≥ 30,000", None, 30_000),
    # Where client and server take most of the CPUs, the proxy with batches is never what is waited for: what it could carry by itself.
    ("echo-64", "per_proxy_second", "≥ 2 × batch = 1", "clearway-1", 2),
    ("echo-1200", "per_proxy_second", "≥ 2 × batch = 1", "clearway-1", 2),
]


# ---- The run


class UDPBench(Bench):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.loadgen = Path(self.directory) / "udpload"
        self.before = arguments.before
        self.rounds, self.failures = {}, []

    def run(self):
        arguments = self.arguments
        command("cc", "-O2", "-o", str(self.loadgen), str(HERE / "udpload.c"))
        for name in arguments.contenders:
            contender = CONTENDERS[name](name, self)
            self.contenders.append(contender)
            contender.set_up()
        for contender in self.contenders:
            contender.verify()
        print(f"Linux {platform.release()} {platform.machine()}, {len(os.sched_getaffinity(0))} cores shared by client, router and server; "
              f"{arguments.rounds} rounds of {arguments.seconds:g} s, interleaved.")
        others_busy = 0.0
        for measure in arguments.only:
            others_busy = max(others_busy, busy_share())
            for number, contender in in_turn(self.contenders, arguments.rounds):
                if contender.name not in MEASURES[measure].without:
                    self.one(measure, number, contender)
        verdicts = self.judge()
        self.print_table(verdicts)
        return close(
            arguments.out, verdicts, self.failures, others_busy, kernel=platform.release(), seconds=arguments.seconds, rounds=self.rounds)

    def one(self, measure, number, contender):
        word = "failed"
        self.place(MEASURES[measure].is_pinned, contender)
        try:
            contender.start()
            figures = MEASURES[measure].run(contender, self.arguments.seconds)
            self.rounds.setdefault(measure, {}).setdefault(contender.name, []).append(figures)
            word = f"{figures['per_second']:,.0f}/s, {figures['loss']:.3%} lost"
        except (BenchError, OSError) as error:
            self.failures.append(f"{measure}, round {number + 1}: {contender.name}: {error}")
        finally:
            contender.stop()
        print(f"{measure} {number + 1}/{self.arguments.rounds} {contender.name}: {word}", file=sys.stderr, flush=True)

    def place(self, is_pinned, contender):
        cpus = sorted(os.sched_getaffinity(0))
        self.pin = [cpus[0], cpus[0], cpus[-1]] if is_pinned else [None, None, None]
        os.sched_setaffinity(contender.network.load_server.pid, {cpus[0]} if is_pinned else set(cpus))

    def value(self, measure, figure, contender):
        values = [r[figure] for r in self.rounds.get(measure, {}).get(contender, []) if figure in r]
        return statistics.median(values) if values else None

    def judge(self):
        verdicts = []
        for measure, figure, words, against, least in BARS:
            value = self.value(measure, figure, "clearway")
            if value is not None and against:
                value = ratio(value, self.value(measure, figure, against))
            if value is None:
                continue
            met = value >= least and self.value(measure, "loss", "clearway") <= LOSS
            verdicts.append({"measure": measure, "figure": figure, "bar": words, "value": value, "met": met})
        return verdicts

    def print_table(self, verdicts):
        names = [contender.name for contender in self.contenders]
        rows = [["", "", *names, "bar"]]
        for measure in MEASURES:
            for _, figure, label, unit, divisor, decimals in (
                    [row for row in FIGURES if row[0] == measure] + [(measure, *row) for row in COST]):
                values = [self.value(measure, figure, name) for name in names]
                if all(value is None for value in values):
                    continue
                rows.append([label, unit, *("–" if value is None else f"{value / divisor:,.{decimals}f}" for value in values),
                             in_words(verdicts, measure, figure)])
        print()
        print_rows(rows)
        print("\nMedians of the rounds.")


def parse_arguments():
    parser = argparse.ArgumentParser(description="UDP: compares Clearway with kernel routing, kernel NAT and itself without batches.")
    parser.add_argument("--clearway", default=HERE.parent / ".build/release/clearway", help="the program (default: .build/release/clearway)")
    parser.add_argument("--before", metavar="FILE", help="another build of it: adds the contender `before`")
    parser.add_argument("--contenders", type=names_from(CONTENDERS), metavar="NAME,…", help="default: routing,nat,clearway,clearway-1")
    parser.add_argument("--only", type=names_from(MEASURES), default=list(MEASURES), metavar="MEASURE,…", help=f"of {','.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=5, help="of every measure (default: 5)")
    parser.add_argument("--seconds", type=float, default=2, help="of each load (default: 2)")
    parser.add_argument("--out", metavar="FILE", help="write every round's figures as JSON")
    arguments = parser.parse_args()
    arguments.contenders = arguments.contenders or ["routing", "nat", "clearway", "clearway-1"]
    if arguments.before and "before" not in arguments.contenders:
        arguments.contenders.append("before")
    if not (1 <= arguments.rounds <= 100 and 0.1 <= arguments.seconds <= 60):
        parser.error("1 to 100 rounds of 0.1 to 60 seconds")
    arguments.pin = [None, None, None]
    for option in ("clearway", "before"):
        program = getattr(arguments, option)
        if program is not None:
            setattr(arguments, option, os.path.abspath(program))
            if not os.access(program, os.X_OK):
                parser.error(f"{program}: no such program; `swift build -c release` makes it")
    if "before" in arguments.contenders and not arguments.before:
        parser.error("the contender `before` needs --before")
    return arguments


def main():
    arguments = parse_arguments()
    return run_as_root("udp", ["cc", "ip", "nft", "sysctl", "taskset"], lambda: UDPBench(arguments).run())


if __name__ == "__main__":
    sys.exit(main())
