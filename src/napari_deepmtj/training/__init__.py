"""training room; see docs/develop/architecture.md."""
