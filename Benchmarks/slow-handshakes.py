#!/usr/bin/env python3
"""Thousands of clients that send a byte a second of their SOCKS5 or HTTP handshake, and beside them clients that know what they want.

Says how those are served with and without the slow ones, what a slow one costs in memory, and whether all slow ones are gone when
`timeouts.handshake` is over. Ends with 1 if a bar is missed. The network, the load and how everything is cleaned up are bench.py's.
"""

import argparse
import json
import os
import subprocess
import sys

import bench
from bench import BenchError, CLIENT

# One address may have half of the sessions in handshakes at most, and a descriptor limit of 20,000 allows for 8,900 of them.
SLOW_SOURCES = 4
FIRST_SLOW_SOURCE = "10.77.1.10"
# `timeouts.handshake`, whose default is not touched, in seconds.
LIMIT = 10.0
# An end that is this much late is late: a timer's turn, and what a busy machine adds.
TOLERANCE = 1.0
CONCURRENCY = 8


class ClearwaySlow(bench.ClearwayServed):
    base = "clearway-slow.toml"

    def set_up(self):
        super().set_up()
        prefix, _, first = FIRST_SLOW_SOURCE.rpartition(".")
        for number in range(SLOW_SOURCES):
            bench.command("ip", "-n", self.network.client, "address", "add", f"{prefix}.{int(first) + number}/24", "dev", "up0")


class Run(bench.Bench):
    def run(self):
        arguments = self.arguments
        bench.command("cc", "-O2", "-o", str(self.loadgen), str(bench.HERE / "loadgen.c"))
        contender = ClearwaySlow("clearway-slow", self)
        self.contenders.append(contender)
        contender.set_up()
        contender.verify()
        contender.start()
        # Not counted: what the first sessions bring up belongs to none of them.
        self.serve_well(contender, 0.5)
        without = self.serve_well(contender, arguments.seconds)
        before = contender.memory()["resident"]
        slow = contender.network.spawn(
            contender.network.client,
            [self.loadgen, "slow", *contender.via, "--source", FIRST_SLOW_SOURCE, "--sources", str(SLOW_SOURCES),
             "--connections", str(arguments.slow), "--hold", str(2 * LIMIT)],
            cpu=self.pin[0], stdout=subprocess.PIPE, text=True)
        try:
            opened = self.line(slow)
            held = contender.memory()["resident"]
            beside = self.serve_well(contender, arguments.seconds)
            held = max(held, contender.memory()["resident"])
            ended = self.line(slow)
        finally:
            bench.stop(slow)
            slow.stdout.close()
            self.processes.remove(slow)
        after = self.serve_well(contender, 0.5)
        contender.stop()
        return self.judge(without, beside, after, opened, ended, (held - before) / arguments.slow)

    def serve_well(self, contender, seconds):
        return contender.network.load(
            "crc", "--concurrency", str(CONCURRENCY), "--seconds", str(seconds), "--source", CLIENT, *contender.via, seconds=seconds)

    def line(self, process):
        line = process.stdout.readline()
        if not line:
            raise BenchError("slow clients: they ended without a word")
        return json.loads(line)

    def judge(self, without, beside, after, opened, ended, memory):
        count = self.arguments.slow
        grown = (beside["p99_us"] - without["p99_us"]) / 1000
        for words, figures in (("without them", without), (f"beside {opened['connections']:,} slow handshakes", beside)):
            print(f"{words}: {figures['count']:,} served, {figures['errors']} not; {figures['per_second']:,.0f} a second, "
                  f"p50 {figures['p50_us'] / 1000:.2f} ms, p99 {figures['p99_us'] / 1000:.2f} ms")
        print(f"{opened['connections']:,} slow ones opened in {opened['seconds']:.2f} s; {ended['gone']:,} were ended after "
              f"{ended['shortest']:.2f} to {ended['longest']:.2f} s, {ended['left']:,} never")
        bars = [
            ("all slow ones opened", f"{opened['connections']:,} of {count:,}", opened["connections"] == count),
            ("all others served", f"{beside['errors'] + after['errors']} not",
             beside["count"] > 0 and after["count"] > 0 and beside["errors"] + after["errors"] == 0),
            ("p99 grows by 20 ms at most", f"{grown:.2f} ms", grown <= 20),
            ("16 KiB for a slow one at most", f"{memory:,.0f} B", memory <= 16 * 1024),
            (f"all gone at {LIMIT:g} s, and none before", f"{ended['shortest']:.2f} to {ended['longest']:.2f} s",
             ended["left"] == 0 and ended["shortest"] >= LIMIT - TOLERANCE / 2 and ended["longest"] <= LIMIT + TOLERANCE),
        ]
        for words, value, met in bars:
            print(f"{'met' if met else 'MISSED':6}  {words}: {value}")
        if self.arguments.out:
            with open(self.arguments.out, "w") as file:
                json.dump({"without": without, "beside": beside, "after": after, "opened": opened, "ended": ended,
                           "bytes_per_slow": memory, "bars": [{"bar": w, "value": v, "met": m} for w, v, m in bars]}, file, indent=1)
        return 0 if all(met for _, _, met in bars) else 1


def main():
    parser = argparse.ArgumentParser(description="Holds clients that send a byte a second, and measures those beside them.")
    parser.add_argument("--clearway", default=str(bench.HERE.parent / ".build/release/clearway"),
                        help="the program (default: .build/release/clearway)")
    parser.add_argument("--slow", type=int, default=5000, metavar="N", help="slow clients, up to 8000 (default: 5000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load (default: 3; the slow ones are there for 10)")
    parser.add_argument("--out", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    arguments.pin = [None, None, None]
    arguments.clearway = os.path.abspath(arguments.clearway)
    if not (1 <= arguments.slow <= 8000 and 0.1 <= arguments.seconds <= LIMIT - 4):
        parser.error(f"1 to 8000 slow clients, 0.1 to {LIMIT - 4:g} seconds")
    if not os.access(arguments.clearway, os.X_OK):
        parser.error(f"{arguments.clearway}: no such program; `swift build -c release` makes it")
    return bench.run_as_root("slow-handshakes", ["cc", "ip", "sysctl"], lambda: Run(arguments).run())


if __name__ == "__main__":
    sys.exit(main())
