"""Train MTJ model: form and controller."""
