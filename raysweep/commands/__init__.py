"""What each command does once its arguments are parsed; a module is imported only when its command runs."""
