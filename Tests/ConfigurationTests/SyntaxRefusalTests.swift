import Configuration
import Testing

/// The messages people read, word for word, with their places.
@Suite struct SyntaxRefusalTests {
    private static let syntaxCases: [(text: String, findings: [String])] = [
        ("workers = ", ["1:11: expected a value, found the end of the file"]),
        ("workers = 1\nworkers = 2", [#"2:1: "workers" is set twice: the first is at line 1"#]),
        ("= 1", [#"1:1: expected a key, found "=""#]),
        ("a b = 1", [#"1:3: expected "=" after the key, found "b""#]),
        ("[log", [#"1:5: expected "]", found the end of the file"#]),
        ("[[listener]", [#"1:12: expected "]]", found the end of the file"#]),
        ("x = 'abc", ["1:5: this string does not end"]),
        ("x = \"\"\"abc", ["1:5: this string does not end"]),
        ("x = [1, 2", [#"1:10: expected "," or "]" in this array, found the end of the file"#]),
        ("x = {a = 1,\n b = 2}", ["1:12: expected a key, found the end of the line"]),
        ("x = \"\\q\"", [#"1:7: in this string: unknown escape sequence '\q'"#]),
        ("x = \"a\\u0000b\"", ["1:7: a string cannot contain a NUL character"]),
        ("\"a\\u0000\" = 1", ["1:3: a string cannot contain a NUL character"]),
        ("x = 1 y = 2", [#"1:9: expected the end of the line, found "=""#]),
        ("workers = 01", ["1:13: in this decimal integer: leading zeroes are prohibited"]),
        (
            "workers = 99999999999999999999",
            [
                "1:31: in this decimal integer: '99999999999999999999' is not representable in 64 bits"
            ]
        ),
        ("[log]\n[log]", ["2:1: in this table header: cannot redefine existing table 'log'"]),
        ("例 = 1", [#"1:1: expected a key, found "例""#]),
        ("x = 'é' 例", [#"1:9: expected the end of the line, found "例""#]),
        ("a\u{0}b", ["1:2: the file contains a NUL byte"]),
        ("a\rb", [#"1:2: expected "=" after the key, found the end of the line"#]),
        (
            "x = \"a\u{1}b\"",
            [
                "1:7: in this string: unescaped control characters other than TAB (U+0009) are explicitly prohibited"
            ]
        ),
        ("x = " + String(repeating: "[", count: 100_000), ["1:37: values are nested more than 32 deep"]),
        ("x = " + String(repeating: "{a=", count: 100_000), ["1:101: values are nested more than 32 deep"]),
        (String(repeating: "a.", count: 100_000) + "a = 1", ["1:65: a key has at most 32 parts"]),
        ("[" + String(repeating: "a.", count: 100_000) + "a]", ["1:66: a key has at most 32 parts"]),
        (String(repeating: "#", count: 4 << 20) + "#", ["1:1: the file is larger than 4 MiB"]),
        ("\u{FEFF}wrokers = 1", [#"1:1: unknown key "wrokers", did you mean "workers"?"#]),
        ("# a\r\nwrokers = 1\r\n", [#"2:1: unknown key "wrokers", did you mean "workers"?"#]),
        ("例 = '", [#"1:1: expected a key, found "例""#]),
        (
            "workers = 9_223_372_036_854_775_808",
            [
                "1:36: in this decimal integer: '9223372036854775808' is not representable in 64 bits"
            ]
        ),
        ("inf = inf", [#"1:1: unknown key "inf""#]),
        ("workers = \n[log]", ["1:11: expected a value, found the end of the line"]),
    ]

    @Test(arguments: syntaxCases)
    func syntax(text: String, expected: [String]) { #expect(findings(text) == expected) }
}
