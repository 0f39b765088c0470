"""Run the command line: python -m metadeploy."""

from metadeploy.cli import main

main()
