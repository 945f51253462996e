"""What a user can put right: the one kind of error that the command line turns into one line."""


class ActionImagesError(ValueError):
    """Something given to the program is wrong; the message names it and a cure.

    Any other exception is a programming error: the command line shows its traceback and where to report it.
    """
