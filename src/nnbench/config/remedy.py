"""The nearest command that can be: what is wrong is found, and its remedy, by composing."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnbench.config.catalogue import groups, main_values, options
from nnbench.config.composition import compose, compose_all
from nnbench.config.mistakes import KNOWN_AS, all_keys, owners
from nnbench.config.run import check_shared
from nnbench.config.studies import experiments
from nnbench.config.words import chosen, in_quotes
from nnbench.errors import ConfigError
from nnbench.schema import closest

MOST_WORDS, MOST_TRIES = 6, 10  # each takes a fifth of a second
YES, NO = ("1", "yes", "on", "y", "t", "tru"), ("0", "no", "off", "n", "f")
CUT = "…"
FILES = {"csv": (".csv", ".csv.gz", ".tsv"), "npz": (".npz",)}  # that data= reads
TWO = "\0"  # between two overrides that are one candidate


def remedy(words: Sequence[str], many: bool, said: str) -> list[str] | None:
    """Return the overrides `words` with the one at fault set right, or left out; None for others.

    `many`: a sweep; the answer may be one, too: it begins with -m then. `said` is the message:
    words that it names are suspected first.
    """
    if not any(f"Received {word}" in said for word in words) and _composes(words, many):
        return None  # it is not about them
    for at in _suspects(words, said)[:MOST_WORDS]:
        before, rest = list(words[:at]), list(words[at + 1 :])
        if not _composes([*before, *rest], many):
            continue
        left = list(itertools.islice(_candidates(words[at], [*before, *rest], many), MOST_TRIES))
        for new, sweep in left:
            found = list(dict.fromkeys([*before, *new.split(TWO), *rest]))
            if (new, sweep) != (words[at], many) and _composes(found, sweep):
                return ["-m", *found] if sweep else found
        return [*before, *rest]
    return None


def _composes(words: Sequence[str], many: bool) -> bool:
    with contextlib.suppress(ConfigError):
        if many:
            check_shared(compose_all(words))
        else:
            compose(words)
        return True
    return False


def _suspects(words: Sequence[str], said: str) -> list[int]:
    """Return the places of `words`, those that the message names first."""

    def rank(at: int) -> tuple[bool, bool, int]:
        key = words[at].partition("=")[0].lstrip("+~")
        return words[at] not in said, not key or key not in said, -at

    return sorted(range(len(words)), key=rank)


def _candidates(word: str, others: Sequence[str], many: bool) -> Iterator[tuple[str, bool]]:
    """Yield what `word` may have meant, the likeliest first, and whether as a sweep."""
    key, equals, value = word.partition("=")
    if not equals:
        yield from ((each, many) for each in _missing_equals(word))
    if KNOWN_AS.get(key, key) == "data":
        yield from ((each, many) for each in _files(value))
    if key.strip()[:1] != "~" and equals:
        bare = key.strip().lstrip("+")
        owned = _owned(KNOWN_AS.get(bare, bare), value, others)
        yield from ((each, many) for each in owned)
    for bare in _keys(key.strip(), others) if equals and key.strip()[:1] != "~" else ():
        for new, sweep in _values(bare, value, others):
            yield f"{bare}={new}", many or sweep


def _files(value: str) -> Iterator[str]:
    """Yield data= with the file that `value` is, or those of the folder that it reads."""
    suffix = Path(value.strip("\"'")).suffix
    if suffix[1:].isalpha():
        yield f"data={'npz' if suffix == '.npz' else 'csv'}{TWO}data.path={value}"
    files = (f for end in FILES.get(value, ()) for f in Path().glob(f"*{end}") if f.is_file())
    yield from (f"data={value}{TWO}data.path={_typed(str(file))}" for file in sorted(files))


def _typed(text: str) -> str:
    """Return a text as it is typed for a value, in quotes where it needs them."""
    return text if re.fullmatch(r"[A-Za-z0-9_./-]+", text) else in_quotes(text)


def _owned(key: str, value: str, others: Sequence[str]) -> Iterator[str]:
    """Yield KEY=VALUE with the option that has the key, where none is chosen yet."""
    group, _, inner = key.partition(".")
    if group in groups() and not any(each.startswith(f"{group}=") for each in others):
        for name in owners(group, inner):
            allowed = options(group)[name].allowed(inner)
            if allowed is None or value in allowed:
                yield f"{group}={name}{TWO}{key}={value}"


def _missing_equals(word: str) -> Iterator[str]:
    key, mark, value = re.sub(r"^[-+~]+", "", word).partition(":")
    if mark:
        yield f"{key}={value}"
    yield from (f"{group}={word}" for group in groups() if word in options(group))


def _keys(key: str, others: Sequence[str]) -> Iterator[str]:
    """Yield the keys that `key` may have meant."""
    bare = key.lstrip("+~").strip("./")
    bare = KNOWN_AS.get(bare, bare)
    group, _, inner = bare.partition(".")
    option = chosen(group, others) if group in groups() else None
    own = list(options(group)[option].settings) if option else []
    known = [*(f"{group}.{each}" for each in own), *_without_options()]
    found = [bare] if bare in known else []
    if inner and option:
        near = closest(inner, own)
        found += [f"{group}.{near}"] if near else []
    near = closest(bare, known)
    found += [near] if near and not (inner and group in groups()) else []
    found += [k for k in known if k.endswith(f".{bare}")]
    if inner:
        found += [k for k in known if bare.startswith(f"{k}.") and k not in groups()]
    yield from dict.fromkeys(found)


def _without_options() -> list[str]:
    """Return the keys that there are whatever is chosen."""
    return [k for k in all_keys() if k.partition(".")[0] not in groups() or k in groups()]


def _values(key: str, value: str, others: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Yield the values of `key` that `value` may have meant, and whether they are a sweep's."""
    text = value.strip().strip("'\"")
    inner = text.strip("[](){} ")
    if key in groups() or key == "experiment":
        known = list(options(key)) if key in groups() else list(experiments())
        names = [each for each in (part.strip() for part in inner.split(",")) if each in known]
        if len(names) > 1:
            yield ",".join(names), True
        near = closest(inner, known)
        yield from ((name, False) for name in [*names[:1], *([near] if near else [])])
    else:
        yield value, False
        yield from ((each, False) for each in _coerced(inner))
        if "," in text or text[:1] in "[":
            yield f"[{inner}]", False
        yield in_quotes(text), False
        yield value, True
        yield f"[{inner}]", False
    if key != "experiment" and (usual := _default(key, others)) is not None:
        yield usual, False


def _coerced(text: str) -> Iterator[str]:
    with contextlib.suppress(ValueError, OverflowError):
        number = float(text)
        yield str(int(number)) if number == int(number) else text
    yield from ["true"] * (text.lower() in YES) + ["false"] * (text.lower() in NO)


def _default(key: str, others: Sequence[str]) -> str | None:
    """Return the value that `key` has where none is given, as it is typed."""
    group, _, inner = key.partition(".")
    if key in groups():
        return chosen(key, ())
    if group in groups():
        option = chosen(group, others)
        setting = options(group)[option].settings.get(inner) if option else None
        return setting.text if setting and CUT not in setting.text else None
    value = main_values().get(group)
    value = value.get(inner) if inner and isinstance(value, dict) else value
    if isinstance(value, dict):
        return None
    return "null" if value is None else str(value).lower() if value in (True, False) else str(value)
