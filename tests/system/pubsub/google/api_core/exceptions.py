"""The part of google.api_core.exceptions that the worker uses."""


class AlreadyExists(Exception):
    pass
