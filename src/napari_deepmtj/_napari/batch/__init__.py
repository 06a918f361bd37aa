"""Batch track: form, table of clips, controller and results."""
