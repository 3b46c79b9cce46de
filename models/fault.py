"""What a person can mend."""


class Fault(ValueError):
    """Something is wrong with what was given: the text names it, its value, what is allowed and what to do.

    The text is the whole message; whoever runs a command needs no traceback with it.
    """
