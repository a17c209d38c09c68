"""CSV for people who open it in a spreadsheet."""


def harmless(value: object) -> object:
    """A spreadsheet must not take the text of a package for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
