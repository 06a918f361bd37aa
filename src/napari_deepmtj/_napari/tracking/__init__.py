"""Track MTJ: form, run, live preview and corrections."""
