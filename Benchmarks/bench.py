#!/usr/bin/env python3
"""Clearway beside kernel routing, kernel NAT, HAProxy and SOCKS servers, on the same work, in one run, interleaved.

Every contender has its own client, router and server in network namespaces of this run, so that nothing one leaves behind
(TIME_WAIT, connection tracking, rules) touches another; only one of them carries load, or runs a proxy, at any time.
See README.md beside this file.
"""

import argparse
import atexit
import contextlib
import ctypes
import json
import os
import platform
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Its compiled form would be left beside it, and be root's.
sys.dont_write_bytecode = True

from report import close, in_turn, names_from, print_rows

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
CLIENT, ROUTER_LAN = "10.77.1.2", "10.77.1.1"
SERVER, ROUTER_WAN = "10.77.2.2", "10.77.2.1"
SERVER_PORT = 7000
SOCKS_PORT = 7005
PROXY_PORT = 1081
IDLE_SESSIONS = 5000
REUSED_PORTS = "20000-20255"
READY_WITHIN = 10.0
PREFIX = "clearway-bench-"

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class BenchError(Exception):
    """The environment, a contender or the load failed; the message is for the person who runs this."""


def die_with_parent():
    # Whatever ends this program, even SIGKILL, ends its children too.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def command(*arguments, stdin=None):
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def wait_until(condition, what, process=None, within=READY_WITHIN):
    deadline = time.monotonic() + within
    while not condition():
        if process is not None and process.poll() is not None:
            raise BenchError(f"{what}: it ended with status {process.returncode}")
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {within:g} s")
        time.sleep(0.005)


def busy_share(over=0.3):
    """The part (0…1) of all processor time that is in use now, sampled over so many seconds."""
    def sample():
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    total, idle_time = sample()
    time.sleep(over)
    total_after, idle_after = sample()
    return 1 - (idle_after - idle_time) / max(total_after - total, 1)


# ---- The network of one contender


class Network:
    """client (10.77.1.2) – router – server (10.77.2.2), three namespaces joined by veth pairs, and a load server."""

    def __init__(self, name, bench):
        self.bench = bench
        prefix = f"{PREFIX}{os.getpid()}-{name}"
        self.client, self.router, self.server = (f"{prefix}-{role}" for role in ("client", "router", "server"))
        self.made = []
        self.load_server = None

    def up(self):
        for namespace in (self.client, self.router, self.server):
            command("ip", "netns", "add", namespace)
            self.made.append(namespace)
            command("ip", "-n", namespace, "link", "set", "lo", "up")
        self.join(self.client, "up0", CLIENT, "lan", ROUTER_LAN)
        self.join(self.server, "up0", SERVER, "wan", ROUTER_WAN)
        command("ip", "netns", "exec", self.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.load_server = self.spawn(
            self.server, [self.bench.loadgen, "server", "--listen", f"{SERVER}:{SERVER_PORT}"],
            cpu=self.bench.pin[1], stdout=subprocess.PIPE)
        if not self.load_server.stdout.readline():
            raise BenchError("the load server did not start")

    def join(self, host, host_interface, host_address, router_interface, router_address):
        command("ip", "link", "add", host_interface, "netns", host, "type", "veth",
                "peer", "name", router_interface, "netns", self.router)
        for namespace, interface, address in (
                (host, host_interface, host_address), (self.router, router_interface, router_address)):
            command("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", interface)
            command("ip", "-n", namespace, "link", "set", interface, "up")
        command("ip", "-n", host, "route", "add", "default", "via", router_address)

    def spawn(self, namespace, arguments, cpu=None, **options):
        # `ip netns exec` and `taskset` replace themselves, so that the process id is the program's own.
        pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *pinned, *map(str, arguments)],
            stdin=subprocess.DEVNULL, preexec_fn=die_with_parent, **options)
        self.bench.processes.append(process)
        return process

    def load(self, *arguments, seconds):
        mode, *rest = arguments
        process = self.spawn(
            self.client, [self.bench.loadgen, mode, "--to", f"{SERVER}:{SERVER_PORT}", *rest],
            cpu=self.bench.pin[0], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, problems = process.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{' '.join(arguments)}: no end within {seconds + 30:g} s") from None
        finally:
            stop(process)
            self.bench.processes.remove(process)
        if process.returncode != 0:
            raise BenchError(f"{' '.join(arguments)}: {problems.strip() or output.strip() or process.returncode}")
        return json.loads(output)

    def down(self):
        if self.load_server:
            stop(self.load_server)
        while self.made:
            subprocess.run(["ip", "netns", "delete", self.made.pop()], capture_output=True)


def stop(process, within=5.0):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---- The contenders


class Contender:
    """Kernel routing: the router forwards, and nothing else. The others add to it."""

    is_proxy = False
    seen_by_server = CLIENT
    # Of its clients that can be told to speak SOCKS5 themselves: in short sessions, and in all.
    options = []
    via = []

    def __init__(self, name, bench):
        self.name, self.bench = name, bench
        self.network = Network(name, bench)
        self.process = None
        self.directory = Path(bench.directory) / name

    def set_up(self):
        self.directory.mkdir()
        self.network.up()

    def start(self):
        pass

    def stop(self):
        if self.process:
            stop(self.process)
            self.bench.processes.remove(self.process)
            self.process = None

    def verify(self):
        """A contender that is by-passed would win everything: the server must see whom it is meant to see."""
        self.start()
        seen = self.network.load("peer", *self.via, seconds=5)["seen"]
        self.stop()
        if seen != self.seen_by_server:
            raise BenchError(f"{self.name}: the server sees {seen}, not {self.seen_by_server}: traffic goes another way")


class NAT(Contender):
    seen_by_server = ROUTER_WAN

    def set_up(self):
        super().set_up()
        command("ip", "netns", "exec", self.network.router, "nft", "-f", str(PEERS / "nat.nft"))


class Proxy(Contender):
    is_proxy = True
    seen_by_server = ROUTER_WAN
    # False: it writes a line for each session there.
    keeps_errors = True

    def launch(self, arguments, ready):
        self.errors = self.directory / "stderr"
        with open(self.errors if self.keeps_errors else os.devnull, "wb") as stderr:
            self.process = self.network.spawn(
                self.network.router, arguments, cpu=self.bench.pin[2], stdout=stderr, stderr=stderr)
        try:
            wait_until(ready, f"start of {self.name}", self.process)
        except BenchError as error:
            tail = self.errors.read_text(errors="replace")[-2000:].strip() if self.keeps_errors else ""
            raise BenchError(f"{error}\n{tail}") from None

    def listens(self):
        """Whether a socket in the router's namespace listens on the proxy's port (state 0A in /proc/PID/net/tcp)."""
        for table in ("tcp", "tcp6"):
            try:
                lines = Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]
            except OSError:
                return False
            if any(line.split()[1].endswith(f":{PROXY_PORT:04X}") and line.split()[3] == "0A" for line in lines):
                return True
        return False

    # What the kernel says about the process

    def family(self):
        """The process and those that it has started, each with its fields of /proc/PID/stat from the third."""
        processes = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    processes[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    pass
        family = [self.process.pid]
        for parent in family:
            family += [pid for pid, fields in processes.items() if int(fields[1]) == parent]
        return {pid: processes[pid] for pid in family if pid in processes}

    def cpu_seconds(self):
        """Of all of them, and of those that have ended: utime, stime, cutime, cstime."""
        return sum(int(field) for fields in self.family().values() for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Resident and anonymous bytes, descriptors and how many of them are pipes."""
        process = Path(f"/proc/{self.process.pid}")
        sizes = {}
        for name in ("status", "smaps_rollup"):
            for line in (process / name).read_text().splitlines():
                match = re.match(r"(\w+):\s+(\d+) kB", line)
                if match:
                    sizes[match[1]] = int(match[2]) * 1024
        links = []
        for entry in os.scandir(process / "fd"):
            # A session may end in between.
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(entry.path))
        return {"resident": sizes["VmRSS"], "anonymous": sizes["Anonymous"], "descriptors": len(links),
                "pipes": sum(link.startswith("pipe:") for link in links)}


class HAProxy(Proxy):
    def set_up(self):
        super().set_up()
        command("ip", "netns", "exec", self.network.router, "nft", "-f", str(PEERS / "haproxy.nft"))
        command("ip", "-n", self.network.router, "-batch", str(PEERS / "haproxy.ip"))

    def start(self):
        self.launch(["haproxy", "-db", "-f", PEERS / f"{self.name}.cfg"], self.listens)


class Clearway(Proxy):
    access_log = True
    base = "clearway.toml"
    # What follows in its configuration.
    more = ""

    def start(self):
        log, configuration = self.directory / "clearway.log", self.directory / "clearway.toml"
        log.unlink(missing_ok=True)
        text = (PEERS / self.base).read_text()
        configuration.write_text(text.replace("@DIRECTORY@", str(self.directory))
                                 .replace("@ACCESS@", "true" if self.access_log else "false") + self.more)

        def ready():
            said = log.read_bytes() if log.exists() else b""
            return re.search(rb"\bnotice\b.*\bready\b", said + self.errors.read_bytes()) is not None

        self.launch([self.bench.clearway, "run", "-c", configuration], ready)


class ClearwayQuiet(Clearway):
    access_log = False


# Through a SOCKS5 proxy, which is the load server itself


class ByHand(Contender):
    """The client speaks SOCKS5 itself: what a proxy in between adds is what it adds to this."""

    options = ["--socks"]


class Redsocks(Proxy):
    def set_up(self):
        super().set_up()
        command("ip", "netns", "exec", self.network.router, "nft", "-f", str(PEERS / "redsocks.nft"))

    def start(self):
        self.launch(["redsocks", "-c", PEERS / f"{self.name}.conf"], self.listens)


class GoRelay(Proxy):
    """What transocks is made of, without its extras; the same rules as for redsocks."""

    environment = []

    def set_up(self):
        super().set_up()
        command("ip", "netns", "exec", self.network.router, "nft", "-f", str(PEERS / "redsocks.nft"))

    def start(self):
        self.launch(["env", *self.environment, self.bench.go_relay, "-proxy", f"{SERVER}:{SOCKS_PORT}",
                     "-log", self.directory / "log"], self.listens)


class GoRelayOneThread(GoRelay):
    environment = ["GOMAXPROCS=1"]


class ClearwaySOCKS(Clearway):
    more = """
[[upstream]]
name = "socks"
url = "socks5://10.77.2.2:7005"

[[rule]]
action = "socks"
"""


class ClearwaySOCKSPipelined(ClearwaySOCKS):
    more = ClearwaySOCKS.more.replace("7005\"", "7005\"\npipeline = true")


# Asked by clients that speak SOCKS5 themselves


ASKED = ["--via", f"{ROUTER_LAN}:{PROXY_PORT}"]


class ClearwayServed(Clearway):
    via = ASKED
    base = "clearway-served.toml"


class Dante(Proxy):
    """As it starts by itself, and with a main server for each of two CPUs."""

    via = ASKED
    servers = "1"

    def start(self):
        memory = Path("/dev/shm") / self.directory.parent.name
        memory.mkdir(exist_ok=True)
        self.launch(["env", f"TMPDIR={memory}", "danted", "-N", self.servers, "-f", PEERS / "dante.conf",
                     "-p", self.directory / "pid"], self.listens)

    def stop(self):
        children = [pid for pid in self.family() if pid != self.process.pid] if self.process else []
        super().stop()
        # They find out by themselves that they are alone, and must not do so while the next one is measured.
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the end of Dante's children")
        shutil.rmtree(Path("/dev/shm") / self.directory.parent.name, ignore_errors=True)


class DanteTwice(Dante):
    servers = "2"


class Microsocks(Proxy):
    via = ASKED
    keeps_errors = False

    def start(self):
        lines = (PEERS / "microsocks").read_text().splitlines()
        self.launch(next(line for line in lines if not line.startswith("#")).split(), self.listens)


CONTENDERS = {"routing": Contender, "nat": NAT, "haproxy-auto": HAProxy, "haproxy-forced": HAProxy,
              "clearway": Clearway, "clearway-quiet": ClearwayQuiet,
              "by-hand": ByHand, "redsocks": Redsocks, "redsocks-splice": Redsocks,
              "go-relay": GoRelay, "go-relay-1": GoRelayOneThread, "clearway-socks": ClearwaySOCKS,
              "clearway-socks-pipelined": ClearwaySOCKSPipelined,
              "clearway-served": ClearwayServed, "dante": Dante, "dante-2": DanteTwice, "microsocks": Microsocks}


# ---- The measures: each returns its figures for one contender and one round


def bulk(streams, *more):
    def measure(contender, seconds):
        before = contender.cpu_seconds() if contender.is_proxy else None
        figures = contender.network.load("bulk", "--streams", str(streams), "--seconds", str(seconds), *more, *contender.via, seconds=seconds)
        if contender.is_proxy:
            used = contender.cpu_seconds() - before
            figures["cpu_per_gb"] = used / (figures["total_bytes"] / 1e9)
        return figures
    return measure


def request_response(connections):
    return lambda contender, seconds: contender.network.load(
        "rr", "--connections", str(connections), "--seconds", str(seconds), *contender.via, seconds=seconds)


def connect_request_close(concurrency, *more):
    return lambda contender, seconds: contender.network.load(
        "crc", "--concurrency", str(concurrency), "--seconds", str(seconds), *more, *contender.options, *contender.via,
        seconds=seconds)


def idle(contender, _):
    """Growth from just started to 5,000 open sessions that have carried one request each."""
    if not contender.is_proxy:
        return None
    network, at_start = contender.network, contender.memory()
    client = network.spawn(
        network.client,
        [contender.bench.loadgen, "idle", "--to", f"{SERVER}:{SERVER_PORT}",
         "--connections", str(IDLE_SESSIONS), "--hold", "60", *contender.via],
        cpu=contender.bench.pin[0], stdout=subprocess.PIPE, text=True)
    try:
        line = client.stdout.readline()
        if not line:
            raise BenchError(f"idle sessions: {contender.name}: the client ended without a word")
        opened = json.loads(line)
        loaded = contender.memory()
    finally:
        stop(client)
        client.stdout.close()
        contender.bench.processes.remove(client)
    sessions = max(opened["connections"], 1)
    per_session = {name: (loaded[name] - at_start[name]) / sessions for name in loaded}
    return {"errors": opened["errors"], "sessions": opened["connections"], "start_resident": at_start["resident"],
            "start_descriptors": at_start["descriptors"], **{f"{name}_per_session": value for name, value in per_session.items()}}


MEASURES = {
    "bulk-1": bulk(1), "bulk-8": bulk(8), "bulk-64": bulk(64), "upload-8": bulk(8, "--upload"),
    "rr-1": request_response(1), "rr-64": request_response(64),
    "crc-1": connect_request_close(1), "crc-64": connect_request_close(64),
    "port-reuse": connect_request_close(64, "--source", CLIENT, "--ports", REUSED_PORTS),
    "idle": idle,
}

# measure, figure, label, unit, divisor, decimals, +1 more is better or -1 less is better, how rounds are summed up
FIGURES = [
    *[(f"bulk-{n}", "gbit", f"bulk, {n} stream{'s' * (n > 1)}", "Gbit/s", 1, 2, 1, statistics.median) for n in (1, 8, 64)],
    ("upload-8", "gbit", "bulk the other way, 8 streams", "Gbit/s", 1, 2, 1, statistics.median),
    ("bulk-8", "cpu_per_gb", "CPU in the proxy, bulk 8", "s/GB", 1, 3, -1, statistics.median),
    *[row for n in (1, 64) for row in (
        (f"rr-{n}", "per_second", f"request/response 64 B, {n} conn.", "/s", 1, 0, 1, statistics.median),
        (f"rr-{n}", "p50_us", "  p50", "µs", 1, 1, -1, statistics.median),
        (f"rr-{n}", "p99_us", "  p99", "µs", 1, 1, -1, statistics.median))],
    *[row for n in (1, 64) for row in (
        (f"crc-{n}", "per_second", f"connect-request-close, {n} at once", "/s", 1, 0, 1, statistics.median),
        (f"crc-{n}", "p50_us", "  p50 of the cycle", "µs", 1, 1, -1, statistics.median),
        (f"crc-{n}", "p99_us", "  p99 of the cycle", "µs", 1, 1, -1, statistics.median))],
    ("port-reuse", "per_second", "256 ports of one address, 64 at once", "/s", 1, 0, 1, statistics.median),
    ("port-reuse", "longest_cycle_ms", "  longest cycle of all rounds", "ms", 1, 1, -1, max),
    ("port-reuse", "longest_gap_ms", "  longest gap of all rounds", "ms", 1, 1, -1, max),
    ("port-reuse", "stalled", "  cycles >= 0.9 s, all rounds", "", 1, 0, -1, sum),
    ("idle", "start_resident", "resident at start", "MB", 1e6, 2, -1, statistics.median),
    ("idle", "anonymous_per_session", "user memory per idle session", "B", 1, 0, -1, statistics.median),
    ("idle", "resident_per_session", "  resident (VmRSS)", "B", 1, 0, -1, statistics.median),
    ("idle", "descriptors_per_session", "  descriptors", "", 1, 2, -1, statistics.median),
    ("idle", "pipes_per_session", "  pipe ends among them", "", 1, 2, -1, statistics.median),
]


class Results:
    """Every figure of every round, and what the table and the bars make of them."""

    def __init__(self, contenders):
        self.contenders = contenders
        self.rounds = {}
        self.failures = []
        # The most that others used of this machine, sampled before each measure.
        self.others_busy = 0.0

    def add(self, measure, contender, figures):
        self.rounds.setdefault(measure, {}).setdefault(contender, []).append(figures)

    def value(self, measure, figure, contender):
        for row in FIGURES:
            if row[:2] == (measure, figure):
                values = [r[figure] for r in self.rounds.get(measure, {}).get(contender, []) if figure in r]
                return row[7](values) if values else None
        raise KeyError((measure, figure))

    def best(self, peer, measure, figure, direction):
        """Of several settings of a peer the better one."""
        values = [v for c in self.contenders if c.startswith(peer) and (v := self.value(measure, figure, c)) is not None]
        return (max if direction > 0 else min)(values) if values else None

    def errors(self, measure, contender):
        return sum(r.get("errors", 0) for r in self.rounds.get(measure, {}).get(contender, []))


def ratio(value, other):
    return value / other if value is not None and other else None


# The bars: measure, figure, in words, what is compared, least or most
BARS = [
    ("bulk-8", "gbit", "≥ 0.80 × routing", "routing", 0.80, 1),
    ("bulk-8", "gbit", "≥ 1.05 × HAProxy", "haproxy", 1.05, 1),
    ("rr-64", "per_second", "≥ 1.0 × HAProxy", "haproxy", 1.0, 1),
    ("rr-64", "p99_us", "≤ HAProxy", "haproxy", 1.0, -1),
    ("crc-64", "per_second", "≥ 1.15 × HAProxy", "haproxy", 1.15, 1),
    ("port-reuse", "stalled", "none", None, 0, -1),
    ("bulk-8", "cpu_per_gb", "≤ 0.30", None, 0.30, -1),
    ("bulk-8", "gbit", "≥ 1.1 × redsocks", "redsocks", 1.1, 1),
    ("crc-64", "per_second", "≥ 1.3 × redsocks", "redsocks", 1.3, 1),
    ("crc-64", "per_second", "≥ 1.5 × Go", "go-relay", 1.5, 1),
    ("idle", "start_resident", "≤ 12 MB", None, 12e6, -1),
    ("idle", "anonymous_per_session", "≤ 2 KiB", None, 2048, -1),
    # A hundredth for what belongs to no session, such as a reserve or a pool that filled meanwhile.
    ("idle", "descriptors_per_session", "2", None, 2.01, -1),
    ("idle", "pipes_per_session", "no pipe", None, 0.01, -1),
]


# Whom the table holds Clearway against, where they take part
PEER_NAMES = [("routing", "routing"), ("haproxy", "HAProxy"), ("by-hand", "by hand"), ("redsocks", "redsocks"),
              ("go-relay", "Go"), ("dante", "Dante"), ("microsocks", "microsocks")]


def judge(results, subject):
    """Each bar with the value it is held against and whether `subject` (a contender's name) meets it."""
    verdicts = []
    for measure, figure, words, against, bound, direction in BARS:
        value = results.value(measure, figure, subject)
        if value is None:
            continue
        if against is not None:
            value = ratio(value, results.best(against, measure, figure, direction))
        if value is None:
            continue
        met = value >= bound if direction > 0 else value <= bound
        if results.errors(measure, subject):
            met = False
        verdicts.append({"measure": measure, "figure": figure, "bar": words, "value": value, "met": met})
    return verdicts


def table(results, verdicts, subject):
    def text(value, divisor=1, decimals=2):
        return "–" if value is None else f"{value / divisor:,.{decimals}f}"

    beside = [(c, name) for c, name in PEER_NAMES if any(known.startswith(c) for known in results.contenders)]
    rows = [["", "", *results.contenders, *(f"÷ {name}" for _, name in beside), "bar"]]
    for measure, figure, label, unit, divisor, decimals, direction, _ in FIGURES:
        values = {c: results.value(measure, figure, c) for c in results.contenders}
        if all(value is None for value in values.values()):
            continue
        cells = [text(values[c], divisor, decimals) + ("!" if results.errors(measure, c) else "") for c in results.contenders]
        ours = values.get(subject)
        bars = "; ".join(f"{v['bar']} {'met' if v['met'] else 'MISSED'}"
                         for v in verdicts if (v["measure"], v["figure"]) == (measure, figure))
        rows.append([label, unit, *cells, *(text(ratio(ours, results.best(c, measure, figure, direction))) for c, _ in beside), bars])
    print_rows(rows)


# ---- The run


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.clearway = arguments.clearway
        self.pin = arguments.pin
        self.processes = []
        self.contenders = []
        self.directory = tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-")
        self.loadgen = Path(self.directory) / "loadgen"
        self.go_relay = Path(self.directory) / "relay"
        atexit.register(self.clean_up)

    def clean_up(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for process in self.processes:
            stop(process)
        for contender in self.contenders:
            contender.network.down()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self):
        arguments = self.arguments
        command("cc", "-O2", "-o", str(self.loadgen), str(HERE / "loadgen.c"))
        if any(name.startswith("go-relay") for name in arguments.contenders):
            command("go", "build", "-o", str(self.go_relay), str(PEERS / "go-relay.go"))
        for name in arguments.contenders:
            contender = CONTENDERS[name](name, self)
            self.contenders.append(contender)
            contender.set_up()
        for contender in self.contenders:
            contender.verify()

        results = Results(arguments.contenders)
        environment = self.environment()
        for line in environment["notes"]:
            print(line)
        for measure in arguments.only:
            results.others_busy = max(results.others_busy, busy_share())
            for number, contender in in_turn(self.contenders, arguments.rounds):
                self.one(results, measure, number, contender)
        subject = next((c for c in ("clearway", "clearway-quiet", "clearway-socks", "clearway-served") if c in arguments.contenders), None)
        verdicts = judge(results, subject) if subject else []
        print()
        table(results, verdicts, subject)
        print("\n÷: Clearway's figure over theirs; of several settings of a peer the better one, figure by figure. Medians of the rounds.")
        for measure in arguments.only:
            for name in arguments.contenders:
                if results.errors(measure, name):
                    print(f"! {measure}: {name}: {results.errors(measure, name)} errors")
        return close(arguments.out, verdicts, results.failures, results.others_busy, environment=environment, rounds=results.rounds)

    def one(self, results, measure, number, contender):
        if measure == "idle" and not contender.is_proxy:
            return
        try:
            contender.start()
            figures = MEASURES[measure](contender, self.arguments.seconds)
            results.add(measure, contender.name, figures)
        except (BenchError, OSError) as error:
            results.failures.append(f"{measure}, round {number + 1}: {contender.name}: {error}")
            figures = None
        finally:
            contender.stop()
        shown = next(((row, figures[row[1]]) for row in FIGURES if figures and row[0] == measure and row[1] in figures), None)
        word = f"{shown[1] / shown[0][4]:,.{shown[0][5]}f} {shown[0][3]}" if shown else "failed"
        print(f"{measure} {number + 1}/{self.arguments.rounds} {contender.name}: {word}", file=sys.stderr, flush=True)

    def environment(self):
        router = self.contenders[0].network.router
        congestion = command("ip", "netns", "exec", router, "sysctl", "-n", "net.ipv4.tcp_congestion_control").strip()
        version = "none"
        if any(isinstance(c, HAProxy) for c in self.contenders):
            version = command("haproxy", "-v").splitlines()[0]
        cores = len(os.sched_getaffinity(0))
        notes = [
            f"Linux {platform.release()} {platform.machine()}, {cores} cores shared by client, router and server; "
            f"congestion control {congestion}; {version}.",
            "veth passes segments of 64 KiB unsegmented, which flatters bulk figures of everybody: read the ratios, not the absolutes.",
            f"{self.arguments.rounds} rounds of {self.arguments.seconds:g} s, interleaved; "
            + ("pinned client, server, proxy to CPUs " + ",".join(map(str, self.pin)) if self.pin[0] is not None else "nothing pinned") + ".",
        ]
        return {"kernel": platform.release(), "cores": cores, "congestion_control": congestion, "haproxy": version,
                "rounds": self.arguments.rounds, "seconds": self.arguments.seconds,
                "pin": self.pin if self.pin[0] is not None else None, "notes": notes}


def sweep():
    """Removes what earlier runs left that were killed before they could clean up: their namespaces and files."""
    def of_the_dead(name):
        match = re.match(re.escape(PREFIX) + r"(\d+)-", name)
        return match is not None and not Path(f"/proc/{match[1]}").exists()

    for line in command("ip", "netns", "list").splitlines():
        if of_the_dead(line):
            subprocess.run(["ip", "netns", "delete", line.split()[0]], capture_output=True)
    for entry in Path(tempfile.gettempdir()).iterdir():
        if of_the_dead(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def parse_arguments():
    def cpus(text):
        numbers = [int(part) for part in text.split(",")]
        if len(numbers) != 3 or not set(numbers) <= os.sched_getaffinity(0):
            raise argparse.ArgumentTypeError("three of this machine's CPUs expected: CLIENT,SERVER,PROXY")
        return numbers

    parser = argparse.ArgumentParser(description="Compares Clearway with kernel routing, kernel NAT, HAProxy, redsocks and SOCKS servers.")
    parser.add_argument("--clearway", default=HERE.parent / ".build/release/clearway", help="the program (default: .build/release/clearway)")
    parser.add_argument("--contenders", type=names_from(CONTENDERS), metavar="NAME,…",
                        help="default: routing,nat,haproxy-auto,haproxy-forced,clearway")
    parser.add_argument("--no-access-log", action="store_true", help="add clearway-quiet: Clearway with its access log off")
    parser.add_argument("--only", type=names_from(MEASURES), default=list(MEASURES), metavar="MEASURE,…",
                        help=f"of {','.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, help="of every measure (default: 5; quick: 3)")
    parser.add_argument("--seconds", type=float, help="of each load (default: 3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 1 s: a look, not a result")
    parser.add_argument("--pin", nargs="?", type=cpus, const="0,0,1", metavar="CLIENT,SERVER,PROXY",
                        help="pin the processes to CPUs (without a value: 0,0,1)")
    parser.add_argument("--out", metavar="FILE", help="write every round's figures as JSON")
    arguments = parser.parse_args()
    arguments.contenders = arguments.contenders or ["routing", "nat", "haproxy-auto", "haproxy-forced", "clearway"]
    if arguments.no_access_log and "clearway-quiet" not in arguments.contenders:
        arguments.contenders.append("clearway-quiet")
    arguments.rounds = arguments.rounds or (3 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (1.0 if arguments.quick else 3.0)
    arguments.pin = arguments.pin or [None, None, None]
    if not (1 <= arguments.rounds <= 100 and 0.1 <= arguments.seconds <= 60):
        parser.error("1 to 100 rounds of 0.1 to 60 seconds")
    if any(name.startswith("clearway") for name in arguments.contenders):
        arguments.clearway = os.path.abspath(arguments.clearway)
        if not os.access(arguments.clearway, os.X_OK):
            parser.error(f"{arguments.clearway}: no such program; `swift build -c release` makes it")
    return arguments


def run_as_root(name, needed, run):
    """Runs a benchmark where it can be run, with what it leaves swept up however it ends.

    name: of the program, for messages. needed: programs in PATH. run: returns the exit status."""
    if os.geteuid() != 0:
        print(f"{name}: needs root, to make network namespaces", file=sys.stderr)
        return 77
    missing = [program for program in needed if not shutil.which(program)]
    if missing:
        print(f"{name}: not installed: {', '.join(missing)}", file=sys.stderr)
        return 69
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sweep()
    try:
        return run()
    except BenchError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 71


def main():
    arguments = parse_arguments()
    needed = ["cc", "ip", "nft", "sysctl"]
    needed += ["haproxy"] * any(name.startswith("haproxy") for name in arguments.contenders)
    needed += ["redsocks"] * any(name.startswith("redsocks") for name in arguments.contenders)
    needed += ["danted"] * any(name.startswith("dante") for name in arguments.contenders)
    needed += ["microsocks"] * ("microsocks" in arguments.contenders)
    needed += ["go"] * any(name.startswith("go-relay") for name in arguments.contenders)
    needed += ["taskset"] * (arguments.pin[0] is not None)
    return run_as_root("bench", needed, lambda: Bench(arguments).run())


if __name__ == "__main__":
    sys.exit(main())
