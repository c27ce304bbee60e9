"""Verdicts between records: what changed, whether it is more than noise, and what else differs."""
