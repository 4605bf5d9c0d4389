"""The subcommands of ``edgecolor``: each module has add_parser(subparsers) and run(arguments) -> exit code."""
