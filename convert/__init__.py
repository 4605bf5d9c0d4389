"""Training, evaluation and conversion of EdgeColor's networks. Part of a checkout, not of the installed package."""
