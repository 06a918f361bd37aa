"""networks room; see docs/architecture.md."""
