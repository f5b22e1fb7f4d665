"""Lack of fit as a finding: its size, sign and location."""

from dataclasses import replace

from raysweep.frontier.approaches.certificate import with_findings
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.points.findings import Finding, Kind, caution, note
from raysweep.frontier.result import Fit


def with_lack_of_fit(fit: Fit, found: LackOfFit | None) -> Fit:
    """Enter the tests of the residuals in a fit, with the finding that follows from them."""
    return with_findings(replace(fit, lack_of_fit=found), bend_findings(found))


def bend_findings(found: LackOfFit | None) -> list[Finding]:
    """Find that the law bends: a caution, or a note where the bend is too small to matter."""
    if found is None or not found.significant:
        return []
    if not found.bends:
        return [note(Kind.LAW_BENDS, f"the residuals are systematic, but small: {found}")]
    text = f"the points bend away from the law: {found}. Extrapolations will be off by more"
    return [caution(Kind.LAW_BENDS, text)]
