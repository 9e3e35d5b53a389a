"""What this machine has for a run, and what is missing:  ipai doctor [the settings of `ipai train`]

Reads no weights, downloads nothing and asks nobody but the hub's front door. Each line is ok, a warning, or a mend that
the run needs; the exit code is 2 if there is one of these.
"""

from omegaconf import DictConfig

from ipai.cli import MISUSE, command


@command("train")
def main(raw: DictConfig) -> int:
    """Print the findings as they come, then how many need a mend."""
    from ipai.commands.findings import findings
    from ipai.config import parse

    found = []
    for finding in findings(parse(raw)):
        print(finding, flush=True)
        found.append(finding)
    needed = sum(finding.state == "mend" for finding in found)
    warned = sum(finding.state == "warning" for finding in found)
    print(f"{len(found)} looked at: {needed} to mend, {warned} to know")
    return MISUSE if needed else 0
