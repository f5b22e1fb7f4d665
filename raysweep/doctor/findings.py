"""The findings of the doctor, as values."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fault", "warning"]


@dataclass(frozen=True, kw_only=True)
class HealthFinding:
    """A problem that breaks a sweep (fault), or may (warning)."""

    check: str
    """A row of the table of checks in docs/cluster.md, such as `versions` or `disk`."""
    where: str
    """The machine."""
    text: str
    remedy: str
    severity: Severity = "fault"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings, and the machines and locations that were examined."""

    findings: tuple[HealthFinding, ...]
    looked_at: tuple[str, ...]
    """A line for each machine and place."""

    @property
    def healthy(self) -> bool:
        """Whether there is no fault."""
        return all(finding.severity != "fault" for finding in self.findings)
