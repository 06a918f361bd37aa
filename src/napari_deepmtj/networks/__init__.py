"""networks room; see docs/develop/architecture.md."""
