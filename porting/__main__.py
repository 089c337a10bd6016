"""`python -m porting`, for a checkout that is not installed."""

from porting.cli import main

main()
