"""What is in a data set: counts, findings, noise, report.html."""

from official_repro.data.audit.findings import FEW, SOME, audit
from official_repro.data.audit.noise import noise_estimate
from official_repro.data.audit.stats import LabelStats

__all__ = ['FEW', 'SOME', 'LabelStats', 'audit', 'noise_estimate']
