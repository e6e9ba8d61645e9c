#!/usr/bin/env python3
"""HTTP: Clearway beside HAProxy, nginx and Squid, in front of a server and intercepting, on the same work, in one run, interleaved.

The networks, the turns and the care for what is left behind are bench.py's. See README.md beside this file.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Its compiled form would be left beside it, and be root's.
sys.dont_write_bytecode = True

from bench import (CLIENT, HERE, PEERS, PROXY_PORT, ROUTER_LAN, ROUTER_WAN, SERVER, SERVER_PORT, Bench, BenchError, Contender, Proxy,
                   busy_share, command, ratio, run_as_root, stop)
from report import close, cpu_seconds, in_turn, in_words, names_from, print_rows

CONNECTIONS = 64
BIG_AT_ONCE = 8

# ---- The contenders


class Direct(Contender):
    """The router forwards: what a proxy adds is added to this."""

    asked = f"{SERVER}:{SERVER_PORT}"

    def load(self, mode, *arguments, seconds=30):
        """httpload, told whom to ask: its last --to counts."""
        return self.network.load(mode, *arguments, "--to", self.asked, seconds=seconds)

    def verify(self):
        self.start()
        # Squid listens a moment before it serves.
        until = time.monotonic() + 5
        while (seen := self.load("peer", seconds=5)["seen"]) != self.seen_by_server and time.monotonic() < until:
            time.sleep(0.1)
        self.stop()
        if seen != self.seen_by_server:
            raise BenchError(f"{self.name}: the server sees {seen}, not {self.seen_by_server}: requests go another way")


class InFront(Direct, Proxy):
    """A reverse proxy, of which clients know."""

    is_proxy = True
    seen_by_server = ROUTER_WAN
    asked = f"{ROUTER_LAN}:{PROXY_PORT}"
    base = ""

    def program(self, configuration):
        raise NotImplementedError

    def ready(self):
        return self.listens()

    def start(self):
        configuration = self.directory / self.base
        configuration.write_text((PEERS / self.base).read_text().replace("@DIRECTORY@", str(self.directory)))
        self.launch(self.program(configuration), self.ready)


class HAProxy(InFront):
    base = "haproxy-http.cfg"

    def program(self, configuration):
        return ["haproxy", "-db", "-f", configuration]


class HAProxyForced(HAProxy):
    base = "haproxy-http-forced.cfg"


class Nginx(InFront):
    base = "nginx-http.conf"

    def program(self, configuration):
        return ["nginx", "-e", "stderr", "-c", configuration]


class Squid(InFront):
    base = "squid-reverse.conf"

    def program(self, configuration):
        return ["squid", "-N", "-f", configuration]

    def stop(self):
        # It ends its sessions at leisure, and has nothing to lose.
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        super().stop()


class SquidIntercepting(Squid):
    base = "squid-tproxy.conf"
    asked = Direct.asked

    def set_up(self):
        super().set_up()
        command("ip", "netns", "exec", self.network.router, "nft", "-f", str(PEERS / "haproxy.nft"))
        command("ip", "-n", self.network.router, "-batch", str(PEERS / "haproxy.ip"))


class Clearway(InFront):
    base = "clearway-reverse.toml"
    access_log = False

    def start(self):
        log, configuration = self.directory / "clearway.log", self.directory / "clearway.toml"
        log.unlink(missing_ok=True)
        configuration.write_text((PEERS / self.base).read_text().replace("@DIRECTORY@", str(self.directory))
                                 .replace("@ACCESS@", "true" if self.access_log else "false"))

        def ready():
            said = log.read_bytes() if log.exists() else b""
            return re.search(rb"\bnotice\b.*\bready\b", said + self.errors.read_bytes()) is not None

        self.launch([self.bench.clearway, "run", "-c", configuration], ready)


class ClearwayLogging(Clearway):
    access_log = True


class ClearwayIntercepting(Clearway):
    base = "clearway-http.toml"
    asked = Direct.asked


CONTENDERS = {"direct": Direct, "haproxy": HAProxy, "haproxy-forced": HAProxyForced, "nginx": Nginx, "squid": Squid, "clearway": Clearway,
              "clearway-logging": ClearwayLogging, "squid-tproxy": SquidIntercepting, "clearway-tproxy": ClearwayIntercepting}


# ---- The measures: each returns its figures for one contender and one round


def with_costs(contender, load):
    """What the load says, and how busy the proxy and the server were with it."""
    network = contender.network
    proxy, server, began = contender.cpu_seconds() if contender.is_proxy else 0, cpu_seconds(network.load_server.pid), time.monotonic()
    figures = load()
    passed = time.monotonic() - began
    figures["server_busy"] = (cpu_seconds(network.load_server.pid) - server) / passed
    if contender.is_proxy:
        figures["proxy_seconds"] = contender.cpu_seconds() - proxy
        figures["proxy_busy"] = figures["proxy_seconds"] / passed
    return figures


def ask_without_pause(contender, seconds):
    """wrk: every connection asks again as soon as it is answered."""
    process = contender.network.spawn(
        contender.network.client,
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency", f"http://{contender.asked}/"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output, _ = process.communicate(timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk: no end within {seconds + 30:g} s") from None
    finally:
        stop(process)
        contender.bench.processes.remove(process)
    said = re.search(r"(\d+) requests in ", output), re.search(r"Requests/sec:\s+([\d.]+)", output)
    if process.returncode != 0 or not all(said):
        raise BenchError(f"wrk: {output.strip()[-500:]}")
    bad = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    other = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    figures = {"requests": int(said[0][1]), "per_second": float(said[1][1]),
               "errors": (sum(map(int, bad.groups())) if bad else 0) + (int(other[1]) if other else 0)}
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", output)
    if latency:
        figures["p99_us"] = float(latency[1]) * {"us": 1, "ms": 1e3, "s": 1e6}[latency[2]]
    return figures


def keep_alive(contender, seconds):
    figures = with_costs(contender, lambda: ask_without_pause(contender, seconds))
    if contender.is_proxy:
        figures["cpu_us"] = figures["proxy_seconds"] / figures["requests"] * 1e6
    return figures


def big(contender, _):
    figures = with_costs(contender, lambda: contender.load("big", "--connections", str(BIG_AT_ONCE), seconds=60))
    if contender.is_proxy:
        figures["cpu_per_gb"] = figures["proxy_seconds"] / (figures["bytes"] / 1e9)
    return figures


def half(contender, seconds):
    """An open loop, at half of what HAProxy can do: the same rate for everybody."""
    return with_costs(contender, lambda: contender.load(
        "rate", "--connections", str(CONNECTIONS), "--rate", str(contender.bench.half_rate), "--seconds", str(seconds), seconds=seconds))


MEASURES = {
    "keep-alive": (keep_alive, ("direct", "haproxy", "nginx", "squid", "clearway", "clearway-logging")),
    "intercepted": (keep_alive, ("squid-tproxy", "clearway-tproxy")),
    "big": (big, ("direct", "haproxy", "haproxy-forced", "nginx", "clearway")),
    "half": (half, ("direct", "haproxy", "clearway")),
}

# measure, figure, label, unit, divisor, decimals
FIGURES = [
    ("keep-alive", "per_second", "requests/s, 64 connections, 1 KiB", "/s", 1, 0), ("keep-alive", "p99_us", "  p99", "µs", 1, 0),
    ("keep-alive", "cpu_us", "  CPU for a request", "µs", 1, 2),
    ("intercepted", "per_second", "the same, intercepted", "/s", 1, 0), ("intercepted", "p99_us", "  p99", "µs", 1, 0),
    ("intercepted", "cpu_us", "  CPU for a request", "µs", 1, 2),
    ("big", "gbit", "1 GiB answers, 8 at once", "Gbit/s", 1, 2), ("big", "cpu_per_gb", "  CPU", "s/GB", 1, 3),
    ("half", "per_second", "at half of HAProxy's most", "/s", 1, 0), ("half", "p50_us", "  p50", "µs", 1, 0),
    ("half", "p99_us", "  p99", "µs", 1, 0),
]
# The same for every measure.
COST = [("proxy_busy", "  proxy busy", "%", 0.01, 0), ("server_busy", "  server busy", "%", 0.01, 0)]

# measure, figure, in words, who, against whom (the better of several), what is taken off both, bound, +1 least or -1 most
BARS = [
    ("keep-alive", "per_second", "≥ 1.0 × HAProxy", "clearway", ("haproxy",), None, 1.0, 1),
    ("keep-alive", "per_second", "≥ 1.3 × nginx", "clearway", ("nginx",), None, 1.3, 1),
    ("keep-alive", "per_second", "≥ 5 × Squid", "clearway", ("squid",), None, 5, 1),
    ("intercepted", "per_second", "≥ 5 × Squid", "clearway-tproxy", ("squid-tproxy",), None, 5, 1),
    ("big", "gbit", "≥ 1.3 × HAProxy", "clearway", ("haproxy", "haproxy-forced"), None, 1.3, 1),
    ("big", "gbit", "≥ 1.3 × nginx", "clearway", ("nginx",), None, 1.3, 1),
    ("half", "p99_us", "adds ≤ HAProxy", "clearway", ("haproxy",), "direct", 1.0, -1),
]


# ---- Slow clients

# Well-behaved clients ask from an address of their own; the slow ones of slowhttptest come from four, for one may have half of the
# sessions in handshakes, and a descriptor limit of 20,000 allows for 8,900 of them.
WELL_BEHAVED = "10.77.1.9"
SLOW_ADDRESSES = [f"10.77.1.{number}" for number in range(10, 14)]
SLOW_RATE = 1000
# Asked for with a connection each.
WELL_BEHAVED_RATE = 300
# mode: in words, options, seconds until a slow one should be ended: a head's 10; bodies and readers below 500 B/s get 30 of grace and 20 to
# be counted; a connection that asks nothing more, 60.
SLOW_MODES = {
    "H": ("heads that never end", ["-H", "-i", "5", "-x", "24"], 10),
    "B": ("bodies that never end", ["-B", "-i", "5", "-s", "65536", "-x", "24"], 50),
    "R": ("thousands of ranges", ["-R", "-a", "10", "-b", "2000"], 60),
    "X": ("answers read slowly", ["-X", "-w", "256", "-y", "512", "-n", "5", "-z", "32"], 50),
}
# After its limit, a slow one must be gone within this.
TOLERANCE = 15


def slow(contender, mode, count):
    """What happens to well-behaved clients beside so many slow ones, what those cost, and when they are gone."""
    _, options, limit = SLOW_MODES[mode]
    network = contender.network

    def served(seconds):
        return contender.load("rate", "--fresh", "--source", WELL_BEHAVED, "--connections", "256", "--rate", str(WELL_BEHAVED_RATE),
                              "--seconds", str(seconds), seconds=seconds)

    def open_now():
        lines = command("ip", "netns", "exec", network.router, "ss", "-Htn", "state", "established", f"sport = :{PROXY_PORT}").splitlines()
        return sum(WELL_BEHAVED not in line for line in lines)

    served(0.5)
    without = served(3)
    before = contender.memory()["resident"]
    attack = network.spawn(
        network.client, ["slowhttptest", *options, "-c", str(count), "-r", str(SLOW_RATE), "-l", "300", "-p", "5",
                         "-u", f"http://{contender.asked}/large"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    load = network.spawn(
        network.client, [contender.bench.loadgen, "rate", "--to", contender.asked, "--fresh", "--source", WELL_BEHAVED, "--connections", "256",
                         "--rate", str(WELL_BEHAVED_RATE), "--seconds", str(count / SLOW_RATE + 4)], stdout=subprocess.PIPE, text=True)
    most = resident = 0
    reached = began = time.monotonic()
    try:
        while load.poll() is None:
            now_open = open_now()
            if now_open > most:
                most, reached = now_open, time.monotonic()
            resident = max(resident, contender.memory()["resident"])
            time.sleep(0.1)
        beside = json.loads(load.communicate()[0] or "{}")
        if "errors" not in beside:
            raise BenchError("the well-behaved client ended without a word")
        while (left := open_now()) > 0 and time.monotonic() < reached + limit + TOLERANCE:
            if left > most:
                most, reached = left, time.monotonic()
            resident = max(resident, contender.memory()["resident"])
            time.sleep(0.2)
        gone = time.monotonic() - reached
    finally:
        for process in (attack, load):
            stop(process)
            contender.bench.processes.remove(process)
        load.stdout.close()
    return {"without": without, "beside": beside, "most": most, "left": left, "gone_after": gone, "seconds": time.monotonic() - began,
            "bytes_per_slow": (resident - before) / count}


def judge_slow(mode, count, figures):
    words, _, limit = SLOW_MODES[mode]
    beside, without = figures["beside"], figures["without"]
    grown = (beside["p99_us"] - without["p99_us"]) / 1000
    bars = [
        ("all others served", f"{beside['errors']} not, of {beside['count'] + beside['errors']:,}", beside["count"] > 0 and not beside["errors"]),
        ("p99 grows by 20 ms at most", f"{grown:.2f} ms", grown <= 20),
        ("32 KiB for a slow one at most", f"{figures['bytes_per_slow']:,.0f} B", figures["bytes_per_slow"] <= 32 * 1024),
        (f"all gone {TOLERANCE} s after {limit} s", f"{figures['left']:,} left after {figures['gone_after']:.0f} s", figures["left"] == 0),
    ]
    print(f"\nslowhttptest -{mode}, {words}: {count:,} connections, {figures['most']:,} of them at once")
    for bar, value, met in bars:
        print(f"  {'met' if met else 'MISSED':6}  {bar}: {value}")
    return [{"measure": f"slow-{mode}", "bar": bar, "value": value, "met": met} for bar, value, met in bars]


# ---- The run


class HTTPBench(Bench):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.loadgen = Path(self.directory) / "httpload"
        self.rounds, self.failures, self.half_rate = {}, [], 0

    def run(self):
        arguments = self.arguments
        command("cc", "-O2", "-o", str(self.loadgen), str(HERE / "httpload.c"))
        names = [name for name in CONTENDERS if any(name in MEASURES[measure][1] for measure in arguments.only if measure in MEASURES)]
        if "slow" in arguments.only and "clearway" not in names:
            names.append("clearway")
        for name in names:
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
            if measure not in MEASURES:
                continue
            takes_part = [contender for contender in self.contenders if contender.name in MEASURES[measure][1]]
            if measure == "half":
                self.find_half_rate()
            for number, contender in in_turn(takes_part, arguments.rounds):
                self.one(measure, number, contender)
        verdicts = self.judge()
        self.print_table(verdicts)
        if "slow" in arguments.only:
            verdicts += self.slow_clients()
        return close(
            arguments.out, verdicts, self.failures, others_busy, kernel=platform.release(), seconds=arguments.seconds,
            half_rate=self.half_rate, rounds=self.rounds)

    def find_half_rate(self):
        known = self.value("keep-alive", "per_second", "haproxy")
        if known is None:
            contender = next(c for c in self.contenders if c.name == "haproxy")
            contender.start()
            known = ask_without_pause(contender, self.arguments.seconds)["per_second"]
            contender.stop()
        self.half_rate = round(known / 2)

    def one(self, measure, number, contender):
        word = "failed"
        try:
            contender.start()
            figures = MEASURES[measure][0](contender, self.arguments.seconds)
            self.rounds.setdefault(measure, {}).setdefault(contender.name, []).append(figures)
            # Of `half` everybody has the same rate.
            row = next(row for row in FIGURES if row[0] == measure and row[:2] != ("half", "per_second"))
            word = f"{figures[row[1]]:,.{row[5]}f} {row[3]}, {figures['errors']} errors"
        except (BenchError, OSError) as error:
            self.failures.append(f"{measure}, round {number + 1}: {contender.name}: {error}")
        finally:
            contender.stop()
        print(f"{measure} {number + 1}/{self.arguments.rounds} {contender.name}: {word}", file=sys.stderr, flush=True)

    def slow_clients(self):
        contender = next(c for c in self.contenders if c.name == "clearway")
        network, verdicts = contender.network, []
        for address in [WELL_BEHAVED, *SLOW_ADDRESSES]:
            command("ip", "-n", network.client, "address", "add", f"{address}/24", "dev", "up0")
        places = ", ".join(f"{number} : {address}" for number, address in enumerate(SLOW_ADDRESSES))
        command("ip", "netns", "exec", network.client, "nft", "-f", "-", stdin=f"""
table ip slow {{
    chain post {{
        type nat hook postrouting priority srcnat
        oifname "up0" ip saddr {CLIENT} tcp dport {PROXY_PORT} snat to numgen inc mod {len(SLOW_ADDRESSES)} map {{ {places} }}
    }}
}}
""")
        for mode in self.arguments.modes:
            try:
                contender.start()
                figures = slow(contender, mode, self.arguments.slow)
                self.rounds.setdefault("slow", {})[mode] = figures
                verdicts += judge_slow(mode, self.arguments.slow, figures)
            except (BenchError, OSError) as error:
                self.failures.append(f"slowhttptest -{mode}: {error}")
            finally:
                contender.stop()
        return verdicts

    def value(self, measure, figure, contender):
        values = [r[figure] for r in self.rounds.get(measure, {}).get(contender, []) if figure in r]
        return statistics.median(values) if values else None

    def errors(self, measure, contender):
        return sum(r.get("errors", 0) for r in self.rounds.get(measure, {}).get(contender, []))

    def judge(self):
        verdicts = []
        for measure, figure, words, subject, against, without, bound, direction in BARS:
            value = self.value(measure, figure, subject)
            others = [other for name in against if (other := self.value(measure, figure, name)) is not None]
            if value is None or not others:
                continue
            other = (max if direction > 0 else min)(others)
            if without:
                base = self.value(measure, figure, without)
                if base is None:
                    continue
                # Less than nothing is nothing: a microsecond.
                value, other = max(value - base, 1), max(other - base, 1)
            share = ratio(value, other)
            met = (share >= bound if direction > 0 else share <= bound) and not self.errors(measure, subject)
            verdicts.append({"measure": measure, "figure": figure, "bar": words, "value": share, "met": met})
        return verdicts

    def print_table(self, verdicts):
        names = [contender.name for contender in self.contenders]
        rows = [["", "", *names, "bar"]]
        for measure in MEASURES:
            for _, figure, label, unit, divisor, decimals in [row for row in FIGURES if row[0] == measure] + [(measure, *row) for row in COST]:
                values = {name: self.value(measure, figure, name) for name in names}
                if all(value is None for value in values.values()):
                    continue
                cells = ["–" if values[name] is None else f"{values[name] / divisor:,.{decimals}f}" + "!" * bool(self.errors(measure, name))
                         for name in names]
                rows.append([label, unit, *cells, in_words(verdicts, measure, figure)])
        if len(rows) == 1:
            return
        print()
        print_rows(rows)
        print("\nMedians of the rounds. !: with errors.")


def parse_arguments():
    known = [*MEASURES, "slow"]

    parser = argparse.ArgumentParser(description="HTTP: compares Clearway with HAProxy, nginx and Squid.")
    parser.add_argument("--clearway", default=HERE.parent / ".build/release/clearway", help="the program (default: .build/release/clearway)")
    parser.add_argument("--only", type=names_from(known), default=known, metavar="MEASURE,…", help=f"of {','.join(known)}")
    parser.add_argument("--rounds", type=int, default=5, help="of every measure (default: 5)")
    parser.add_argument("--seconds", type=float, default=3, help="of each load (default: 3)")
    parser.add_argument("--slow", type=int, default=5000, metavar="N", help="slow clients, up to 8000 (default: 5000)")
    parser.add_argument("--modes", default="HBRX", metavar="HBRX", help="of slowhttptest")
    parser.add_argument("--out", metavar="FILE", help="write every round's figures as JSON")
    arguments = parser.parse_args()
    if not (1 <= arguments.rounds <= 100 and 1 <= arguments.seconds <= 60 and 1 <= arguments.slow <= 8000):
        parser.error("1 to 100 rounds of 1 to 60 seconds, 1 to 8000 slow clients")
    if not set(arguments.modes) <= set(SLOW_MODES):
        parser.error(f"modes: of {''.join(SLOW_MODES)}")
    arguments.pin = [None, None, None]
    arguments.clearway = os.path.abspath(arguments.clearway)
    if not os.access(arguments.clearway, os.X_OK):
        parser.error(f"{arguments.clearway}: no such program; `swift build -c release` makes it")
    return arguments


def main():
    arguments = parse_arguments()
    needed = ["cc", "ip", "nft", "sysctl", "ss", "haproxy", "nginx", "squid", "wrk"] + ["slowhttptest"] * ("slow" in arguments.only)
    return run_as_root("http", needed, lambda: HTTPBench(arguments).run())


if __name__ == "__main__":
    sys.exit(main())
