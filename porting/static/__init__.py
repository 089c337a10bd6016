"""What can be said of a model without running it: operators by makers' lists, and whether it fits on a card."""
