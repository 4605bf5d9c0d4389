"""Whole archives: many files by worker processes, written down in a manifest, so that a run can end at any point and go on.

plan (what goes where, edgecolor.plan) -> Task -> work (one file) in workers (processes) -> Outcome -> manifest, progress.
"""
