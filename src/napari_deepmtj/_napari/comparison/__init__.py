"""Compare annotators and compare models: forms and controllers."""
