"""From a trajectory to excursion, velocity, cycles, tendon and muscle-tendon unit."""
