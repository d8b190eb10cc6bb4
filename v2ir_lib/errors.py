"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """One clear line: what is wrong, and what to do about it.

    The command line prints it without a traceback and exits with code 2. Anything else that is raised is a bug of ours.
    """
