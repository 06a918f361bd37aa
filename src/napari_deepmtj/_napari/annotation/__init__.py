"""Annotate MTJ: form, controller, mouse, keys and layers."""
