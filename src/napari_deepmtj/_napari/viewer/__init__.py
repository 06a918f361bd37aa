"""What belongs to one viewer: clips, opened files, jobs, settings and session."""
