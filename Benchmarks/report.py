"""What the benchmarks share: turns, tables, verdicts, and words of their arguments."""

import argparse
import json
import os
from pathlib import Path


def names_from(known):
    """For an argument of names with commas between them, all of which are known."""
    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r}: not one of {', '.join(known)}")
        return names
    return parse


def in_turn(contenders, rounds):
    """Each round's number with each contender. Each begins with another one, so that none is always first on a cold or last on a hot machine."""
    for number in range(rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            yield number, contender


def cpu_seconds(process):
    """User and system time of a process and its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def print_rows(rows):
    """A table: the first two cells of each row and the last one are words, the others figures."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    left = (0, 1, len(widths) - 1)
    for row in rows:
        print("  ".join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def in_words(verdicts, measure, figure):
    """What the bars of one figure say."""
    return "; ".join(f"{v['bar']}: {v['value']:,.2f} {'met' if v['met'] else 'MISSED'}"
                     for v in verdicts if (v["measure"], v["figure"]) == (measure, figure))


def close(out, verdicts, failures, others_busy, **more):
    """What stands below a table.

    out: the file for every round's figures, if one is wanted. verdicts: each with `met`. others_busy: the part (0…1) of this machine that
    others used. more: what else goes into the file. Returns the exit status."""
    if others_busy > 0.1:
        print(f"! Others used up to {others_busy:.0%} of this machine, seen between measures: these figures are worth little.")
    for failure in failures:
        print(f"! {failure}")
    if verdicts:
        print(f"Bars met: {sum(v['met'] for v in verdicts)} of {len(verdicts)}.")
    if out:
        what = {**more, "others_busy": others_busy, "bars": verdicts, "failures": failures}
        Path(out).write_text(json.dumps(what, indent=1, ensure_ascii=False) + "\n")
    return 1 if failures else 0
