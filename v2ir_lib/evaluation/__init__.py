"""Measuring translations (paper §5): baselines that know nothing, experiments, reports."""
