"""Result files: `.mtj.csv`, attention maps, and what other programs read."""
