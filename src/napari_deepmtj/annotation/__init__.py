"""Which frames to label, and what a click means: queues, rounds, undo. No Qt, no torch."""
