"""Why a tracking store did not take a run, in a few words."""

from __future__ import annotations

import re

from nnbench.config.installation import install_command, missing
from nnbench.credentials import hidden
from nnbench.tracking.quiet import StoreError

REASON_CHARACTERS = 200
KNOWN = {
    r"Connection refused": "the connection was refused",
    r"answer has no end": "its answer has no end",
    r"SSL|CERTIFICATE": "no secure connection comes about (should it be http:// in place of https://?)",
    r"error code 40[13]|PERMISSION_DENIED|UNAUTHENTICATED": "it wants other credentials",
    r"error code \d+ !=|valid JSON": "what answers there is no MLflow server, or one out of order",
    r"Connection aborted|Connection broken|RemoteDisconnected|reset by peer|BadStatusLine"
    r"|InvalidChunkLength|IncompleteRead|Broken pipe": "it breaks the connection off",
    r"timed out|timeout": "it does not answer in time",
    r"resolve|Name or service not known|nodename nor servname": "its host is unknown",
    r"unable to open database file|readonly database": "its database file cannot be written",
    r"file is not a database|disk image is malformed": "its database file is damaged",
    r"database is locked": "its database is locked by another program",
    r"No space left|disk is full": "the disk is full",
}


def reason(error: Exception) -> str:
    """Return why, on one line, without passwords, a full stop or what cannot be printed."""
    text = hidden(str(error))
    if isinstance(error, ModuleNotFoundError):
        found = str(missing("it", str(error.name)))
        if error.name == "mlflow":
            return found
        return f"{found} (for PostgreSQL: {install_command('postgresql')})"
    if isinstance(error, StoreError):
        return text
    for pattern, words in KNOWN.items():
        if re.search(pattern, text, re.IGNORECASE):
            return words
    if isinstance(error, KeyError | AttributeError | TypeError) or "ParseError" in repr(error):
        return "its answer is not understood"
    first = next(iter(text.strip().splitlines()), "") or type(error).__name__
    plain = "".join(letter for letter in first if letter.isprintable())
    return plain[:REASON_CHARACTERS].rstrip(". ")


def remedy(uri: str | None) -> str:
    """Return what to do about it."""
    if uri is None:
        return "free or repair the file, then `nnbench sync`; or record with tracking=local."
    return "`nnbench sync` uploads it when the server is back."
