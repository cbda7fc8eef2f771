"""`polybackfill doctor`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from polybackfill import errors, settings, terminal
from polybackfill.run import (
    bootstrap,
    doctor_checks,
    doctor_probe,
)


def doctor(arguments: argparse.Namespace) -> int:
    """Look at everything a run stands on; exit with the code of the first thing that is wrong."""
    chosen = bootstrap.settings_of(arguments)
    findings = bootstrap.run(doctor_checks.examine(chosen))
    probed = bootstrap.run(doctor_probe.look(chosen)) if arguments.probe else None
    if arguments.json:
        document = {
            "findings": [asdict(one) for one in findings],
            "settings": doctor_checks.effective(chosen),
        }
        bootstrap.print_json(document | ({"probe": probed.document} if probed else {}))
    else:
        _print(findings, chosen)
        for text in probed.lines if probed else ():
            print(text)
    codes = [one.exit_code for one in findings] + ([probed.exit_code] if probed else [])
    return next(filter(None, codes), errors.EXIT_OK)


def _print(findings: list[doctor_checks.Finding], chosen: settings.Settings) -> None:
    longest = max(len(finding.check) for finding in findings)
    columns = terminal.width(sys.stdout) or terminal.WIDTH
    for finding in findings:
        mark = "ok" if finding.exit_code == errors.EXIT_OK else "WRONG"
        head = f"{mark:<5}  {finding.check:<{longest}}  "
        print(terminal.wrapped(head + finding.text, columns, indent=len(head)))
    changed = {
        name: entry
        for name, entry in doctor_checks.effective(chosen).items()
        if entry["origin"] != "default"
    }
    for name, entry in changed.items():
        line = f"  {name} = {entry['value']}  ({entry['origin']})"
        print(terminal.wrapped(line, columns))
