"""What is said of the faults that were tried."""
import os
from collections import Counter

import trial

KINDS = ["killed", "timed out", "survived", "equivalent", "not compiled"]


def kind_of(outcome):
    if isinstance(outcome, str):
        return "equivalent"
    return "survived" if outcome.kind == "passed" else outcome.kind


def words_of(outcome):
    kind = kind_of(outcome)
    if kind == "equivalent":
        return f"equivalent: {outcome}"
    if kind == "killed":
        return f"killed by {outcome.program}: {outcome.test}"
    return f"timed out in {outcome.program}" if kind == "timed out" else kind


def line(mutant, outcome):
    return f"{words_of(outcome)}\n    {mutant.file}:{mutant.line} {mutant.function}, {mutant.operator}\n" \
           f"    - {mutant.original}\n    + {mutant.mutated}"


def totals(results, groups):
    counts = {name: Counter() for name in (*groups, "all")}
    for group, _, outcome in results:
        counts[group][kind_of(outcome)] += 1
        counts["all"][kind_of(outcome)] += 1
    return counts


def countable(count):
    return count["killed"] + count["timed out"] + count["survived"]


def share_killed(count):
    return (count["killed"] + count["timed out"]) / countable(count) if countable(count) else 1.0


def table_of_totals(counts):
    rows = ["| group | tried | not compiled | equivalent | countable | killed | by time-out | survived | killed |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for name, count in counts.items():
        share = f"{share_killed(count) * 100:.1f} %" if countable(count) else "-"
        rows.append(f"| {name} | {sum(count.values())} | {count['not compiled']} | {count['equivalent']} | "
                    f"{countable(count)} | {count['killed'] + count['timed out']} | {count['timed out']} | "
                    f"{count['survived']} | {share} |")
    return "\n".join(rows)


def code(text):
    """As code in a table, which takes a bar for its own wherever it stands."""
    return "`" + text.replace("|", "\\|") + "`"


def rows_of(results):
    for _, mutant, outcome in results:
        cells = [f"{mutant.file}:{mutant.line}", mutant.operator, code(mutant.original), code(mutant.mutated),
                 words_of(outcome)]
        yield f"| {' | '.join(cells)} |"


def write(arguments, results, counts, ground, sources, seconds, found):
    command = f"tests/mutants/run --seed {arguments.seed} --per-group {arguments.per_group}"
    lines = ["# Faults that were tried", "",
             f"Made by `{command}` (`make mutants`) of sources with the digest {sources}, {arguments.jobs} at a time, "
             f"in {seconds / 60:.0f} minutes. README.md says what the words mean.", "",
             f"Of {sum(found.values())} possible faults {len(results)} were chosen.", "", table_of_totals(counts), ""]
    earlier = sum(not isinstance(outcome, str) and outcome.is_earlier for _, _, outcome in results)
    if earlier > 0:
        lines += [f"{earlier} of the killed were taken over from an earlier run (`--earlier`), of other sources perhaps: a fault is the "
                  "same while its file, function and text are.", ""]
    empty = [group for group, count in found.items() if count == 0]
    if empty:
        lines += [f"There is no source yet for: {', '.join(empty)}.", ""]
    lines += ["What is run, in this order, and how long it takes without a fault:", "", "| group | programs |",
              "| --- | --- |"]
    for group in found:
        if found[group]:
            programs = ", ".join(f"{name} {ground.seconds[name]:.1f} s" for name in trial.SUITE[group])
            lines.append(f"| {group} | {programs} |")
    survivors = [result for result in results if kind_of(result[2]) == "survived"]
    for title, part in (("Survivors", survivors), ("All", results)):
        lines += ["", f"## {title}", ""]
        lines += ["| where | fault | was | became | outcome |", "| --- | --- | --- | --- | --- |", *rows_of(part)] \
            if part else ["None."]
    with open(arguments.report, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    print(f"see {os.path.relpath(arguments.report)}")
