"""One forward pass taken down operator by operator, and what each makes of positions."""
