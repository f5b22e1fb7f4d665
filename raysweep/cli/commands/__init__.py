"""Commands, their arguments and options; what a command does is imported when it is called."""
