"""Cells: what a run consists of, from the plan to the record of each model on each target."""
