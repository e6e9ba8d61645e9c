"""Reads records of requests strictly, and holds them against what they were made of.

    read_log.py FORMAT LOG EXPECTED

EXPECTED has a line for each record: `key:hexadecimal` for each field, of which those that a format lacks are passed over. Written without a look
at what writes the log: from Go's strconv, RFC 8259 and Apache's mod_log_config. Prints how many records were the same; ends with 1 at the first
that is not.
"""

import json
import re
import sys
import unicodedata

TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
GO_QUOTED = rb'"(?:[^"\\\x00-\x1f\x7f]|\\[abfnrtv"\\]|\\x[0-9a-f]{2}|\\u[0-9a-f]{4})*"'
GO_FIELDS = re.compile(rb" ([a-z_0-9]+)=(" + GO_QUOTED + rb"|[0-9.]+)")
GO_ESCAPE = re.compile(rb'\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|([abfnrtv"\\]))')
GO_SHORT = dict(zip(b'abfnrtv"\\', b'\a\b\f\n\r\t\v"\\'))
HEADS = {
    "plain": re.compile(TIME + rb' gw1 clearway info: "request"'),
    "logfmt": re.compile(rb"topic=clearway logged_at=" + TIME + rb' severity=info utsname=gw1 message="request"'),
}

TEXT = rb'((?:[ !#-\[\]-~]|\\x[0-9a-f]{2}|\\[nrt"\\])*)'
WORD = rb'((?:[!#-\[\]-~]|\\x[0-9a-f]{2}|\\[nrt"\\])+)'
COMBINED = re.compile(
    rb'([0-9a-f.:]+) - (""|' + WORD + rb") \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    rb' "(?:-|' + WORD + b" " + WORD + rb' HTTP/(1\.[01]))" ([1-9]\d\d) (-|[1-9]\d*) "' + TEXT + rb'" "' + TEXT + rb'"'
)
COMBINED_ESCAPE = re.compile(rb'\\(?:x([0-9a-f]{2})|([nrt"\\]))')
COMBINED_SHORT = dict(zip(b'nrt"\\', b'\n\r\t"\\'))


def go(line, head):
    start = HEADS[head].match(line).end()
    fields = {}
    while start < len(line):
        found = GO_FIELDS.match(line, start)
        key, value = found.group(1).decode(), found.group(2)
        assert key not in fields, key
        if value[:1] == b'"':
            value = GO_ESCAPE.sub(
                lambda m: bytes([int(m[1], 16)]) if m[1] else chr(int(m[2], 16)).encode() if m[2] else bytes([GO_SHORT[m[3][0]]]),
                value[1:-1],
            )
        fields[key] = value
        start = found.end()
    return fields


def once(pairs):
    assert len({key for key, _ in pairs}) == len(pairs), "a key twice"
    return dict(pairs)


def of_json(line, _):
    fields = json.loads(line, object_pairs_hook=once, parse_constant=None, parse_float=str, parse_int=str)
    assert fields.pop("message") == "request"
    result = {}
    for key, value in fields.items():
        if key.endswith("_latin1"):
            result[key.removesuffix("_latin1")] = value.encode("latin-1")
        else:
            result[key] = value.encode()
    return result


def combined(line, _):
    found = COMBINED.fullmatch(line)

    def plain(value):
        return COMBINED_ESCAPE.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else bytes([COMBINED_SHORT[m[2][0]]]), value)

    fields = {"host": found[1]}
    if found[2] == b'""':
        fields["user"] = b""
    elif found[2] != b"-":
        fields["user"] = plain(found[2])
    if found[4]:
        fields |= {"method": plain(found[4]), "target": plain(found[5]), "version": found[6]}
    fields["status"] = b"0" if found[7] == b"499" else found[7]
    fields["body"] = b"0" if found[8] == b"-" else found[8]
    for key, value in [("referer", found[9]), ("user_agent", found[10])]:
        if value != b"-":
            fields[key] = plain(value)
    return fields


# What a format has no place for.
LACKS = {"plain": {"host", "version", "body"}, "combined": {"client", "down", "listener", "name", "reason", "up", "upstream", "member"}}
LACKS["logfmt"] = LACKS["json"] = LACKS["plain"]
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def check_harmless(line):
    """Nothing that a terminal obeys, ends a line, or turns it around."""
    for character in set(line.decode()):
        assert unicodedata.category(character) not in ("Cc", "Zl", "Zp"), ascii(character)
        assert unicodedata.bidirectional(character) not in BIDIRECTIONAL, ascii(character)


def main(form, log, expected):
    read = {"plain": go, "logfmt": go, "json": of_json, "combined": combined}[form]
    lines = open(log, "rb").read().split(b"\n")
    wanted = open(expected, "rb").read().splitlines()
    assert lines.pop() == b"", "the last record has no end"
    for number, (line, fields) in enumerate(zip(lines, wanted)):
        try:
            check_harmless(line)
            fields = dict((key, bytes.fromhex(value)) for key, value in (field.split(":") for field in fields.decode().split()))
            fields = {key: value for key, value in fields.items() if key not in LACKS[form]}
            seen = {key: value for key, value in read(line, form).items() if key in fields or key in ("user", "referer", "user_agent")}
            assert seen == fields, f"{seen}\nin place of {fields}"
        except Exception as error:
            sys.exit(f"record {number}: {type(error).__name__} {error}\n{line}")
    assert len(lines) == len(wanted), f"{len(lines)} records in place of {len(wanted)}"
    print(len(lines))


main(*sys.argv[1:])
