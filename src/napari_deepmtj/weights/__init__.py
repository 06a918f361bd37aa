"""weights room; see docs/architecture.md."""
