"""What a run on a cluster costs, on paper (python -m official_repro.plan)."""
