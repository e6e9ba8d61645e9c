import Configuration
import Glibc
import Policy
import TestSupport
import Testing
import TransparentSockets

/// Entries of rules that stand in files of their own.
@Suite struct ListFileTests {
    /// A configuration in `/etc/clearway`, beside which `files` stand.
    private func parse(_ text: String, _ files: [String: [UInt8]], file: String = "/etc/clearway/t.toml")
        throws(ConfigurationErrors)
        -> Configuration
    {
        try Configuration(parsing: text, file: file) { path throws(UnreadableFile) in
            guard let bytes = files[path] else { throw UnreadableFile("there is none") }
            return bytes
        }
    }

    private func errors(_ text: String, _ files: [String: [UInt8]]) -> [String] {
        do {
            _ = try parse(text, files)
            return []
        } catch {
            return error.description.split(separator: "\n").map(String.init)
        }
    }

    /// A rule with one list of names, which holds `bytes`.
    private func domains(_ bytes: [UInt8]) throws(ConfigurationErrors) -> [String] {
        let configuration = try parse("[[rule]]\ndomain_file = '/l'\naction = 'reject'", ["/l": bytes])
        return configuration.rules[0].domains?.map(\.description) ?? ["everything"]
    }

    private func domainErrors(_ bytes: [UInt8]) -> [String] {
        errors("[[rule]]\ndomain_file = '/l'\naction = 'reject'", ["/l": bytes])
    }

    // MARK: What is read

    @Test func entriesAddToThoseWrittenInline() throws {
        let text = """
            [[rule]]
            domain = "inline.example"
            domain_file = ["names.txt", "/var/lib/more.txt"]
            destination_file = "lists/networks.txt"
            destination = ["192.0.2.1"]
            port = 443
            action = "reject"
            [[rule]]
            domain_file = "names.txt"
            action = "direct"
            """
        let configuration = try parse(
            text,
            [
                "/etc/clearway/names.txt": Array("a.example\n*.B.example.\n".utf8), "/var/lib/more.txt": Array("münchen.de".utf8),
                "/etc/clearway/lists/networks.txt": Array("10.0.0.0/8\n2001:db8::/32\n198.51.100.7\n".utf8),
            ])
        let rule = configuration.rules[0]
        #expect(rule.domains?.map(\.description) == ["inline.example", "a.example", "*.b.example", "xn--mnchen-3ya.de"])
        #expect(rule.destinations?.map(\.description) == ["192.0.2.1", "10.0.0.0/8", "2001:db8::/32", "198.51.100.7"])
        #expect(rule.ports == [443...443] && rule.clients == nil)
        #expect(configuration.rules[1].domains?.map(\.description) == ["a.example", "*.b.example"])
        #expect(configuration.rules[1].destinations == nil)
    }

    @Test(arguments: [
        ("/etc/clearway/t.toml", "l", "/etc/clearway/l"), ("/t.toml", "l", "/l"), ("t.toml", "l", "l"),
        ("a/t.toml", "../l", "a/../l"), ("./t.toml", "b/l", "./b/l"), ("a/t.toml", "/x/l", "/x/l"), ("t.toml", "./l", "./l"),
    ])
    func pathsAreRelativeToTheConfiguration(file: String, path: String, read: String) throws {
        let text = "[[rule]]\ndomain_file = '\(path)'\naction = 'reject'"
        #expect(try parse(text, [read: Array("a".utf8)], file: file).rules[0].domains?.count == 1)
    }

    @Test(arguments: [
        "a.example\nb.example\n", "a.example\nb.example", "a.example\r\nb.example\r\n", "\n\n a.example \t\n\t\nb.example \r\n\n",
        "# a list\na.example # the first\nb.example#the second\n  # the end", "\u{FEFF}a.example\nb.example",
        "\u{FEFF}# ü\r\nA.EXAMPLE.\r\nＢ。example\r\n", "#\na.example\n#\r\n##\n#a\nb.example\n#",
    ])
    func whatIsNoEntryIsSkipped(text: String) throws {
        #expect(try domains(Array(text.utf8)) == ["a.example", "b.example"])
    }

    @Test func aFileIsReadOnceHoweverManyRulesNameIt() throws {
        let count = Counter()
        let rule = "[[rule]]\ndomain_file = 'l'\naction = 'reject'\n"
        let configuration = try Configuration(parsing: String(repeating: rule, count: 50), file: "t.toml") { _ in
            count.value += 1
            return Array("a\nb".utf8)
        }
        #expect(count.value == 1)
        #expect(configuration.rules.allSatisfy { $0.domains?.count == 2 })
    }

    private final class Counter { var value = 0 }

    // MARK: What is empty

    /// A download that failed must not open, or close, the gate for everybody.
    @Test(arguments: ["", "\n", "# nothing\n", "\u{FEFF}", " \t\r\n"])
    func anEmptyListMatchesNothing(text: String) throws {
        for key in ["domain", "destination"] {
            let configuration = try parse("[[rule]]\n\(key)_file = '/l'\naction = 'reject'", ["/l": Array(text.utf8)])
            #expect(!configuration.rules[0].canMatch)
            let policy = Policy(configuration.rules)
            for name in [nil, "a.example"] {
                let query = Query(
                    listener: "tproxy-1081", client: nil, destination: IPAddress("192.0.2.1")!, port: 443,
                    name: name.flatMap { DomainName($0) })
                #expect(policy.decide(query) == Decision(.direct, rule: nil))
            }
            #expect(configuration.positions.emptyLists.count == 1)
            let empty = configuration.positions.emptyLists[0]
            #expect(empty.file == "/l" && empty.rule == 0 && empty.position.line == 2)
        }
    }

    @Test func anEmptyListBesideAFullOneOnlyAddsNothing() throws {
        let files = ["/empty": [], "/full": Array("b".utf8)]
        let text = "[[rule]]\naction='direct'\n[[rule]]\ndomain = 'a'\ndomain_file = ['/empty', '/full']\naction = 'reject'"
        let configuration = try parse(text, files)
        #expect(configuration.rules[1].domains?.map(\.description) == ["a", "b"] && configuration.rules[1].canMatch)
        let empty = configuration.positions.emptyLists
        #expect(empty.map(\.file) == ["/empty"] && empty[0].rule == 1)
        #expect(empty[0].position.line == 5 && empty[0].position.column == 16)
        let alone = try parse("[[rule]]\ndomain = 'a'\ndomain_file = '/empty'\naction = 'reject'", files)
        #expect(alone.rules[0].domains?.map(\.description) == ["a"])
    }

    // MARK: What is wrong

    @Test(arguments: [
        ("a..b", #"/l:1:1: error: "a..b" is no name, such as "example.com" or "*.example.com""#),
        ("\n\n  127.1\n", #"/l:3:3: error: "127.1" is the address 127.0.0.1: it belongs into destination"#),
        ("ok\r\n\t １２７。0.0.1", #"/l:2:3: error: "１２７。0.0.1" is the address 127.0.0.1: it belongs into destination"#),
        ("0.0.0.0 ads.example", #"/l:1:1: error: "0.0.0.0 ads.example": one entry a line"#),
        ("a.example, b.example", #"/l:1:1: error: "a.example, b.example": one entry a line"#),
        ("a.example\rb.example", #"/l:1:1: error: "a.example\u{d}b.example": one entry a line"#),
        ("\"a.example\"", #"/l:1:1: error: ""a.example"" is no name, such as "example.com" or "*.example.com""#),
        ("a\0b", #"/l:1:1: error: "a\u{0}b" is no name, such as "example.com" or "*.example.com""#),
        ("*", #"/l:1:1: error: "*" is no name, such as "example.com" or "*.example.com""#),
        (
            "\u{FEFF} https://a.example/",
            #"/l:1:2: error: "https://a.example/" is no name, such as "example.com" or "*.example.com""#
        ),
    ])
    func anErrorHasItsPlaceInTheList(text: String, expected: String) {
        #expect(domainErrors(Array(text.utf8)) == [expected])
    }

    @Test func aNameWithoutALabelsSaysWhy() {
        let lines = domainErrors(Array("\n☃.example\n".utf8))
        #expect(lines.count == 1 && lines[0].hasPrefix(#"/l:2:1: error: "☃.example" has no A-labels: "#))
    }

    @Test(arguments: [
        ([0xFF, 0xFE, 0x61, 0x00], "/l:1:1: error: the line is not UTF-8: byte 0xff"),
        ([0x61, 0x0A, 0x20, 0x61, 0xE9, 0x0A], "/l:2:2: error: the line is not UTF-8: byte 0xe9"),
        // What nobody reads may be in any encoding.
        ([0x61, 0x23, 0xE9], ""),
    ])
    func bytesThatAreNoText(bytes: [UInt8], expected: String) {
        #expect(domainErrors(bytes) == (expected.isEmpty ? [] : [expected]))
    }

    @Test func aLineIsBounded() {
        #expect(
            domainErrors([UInt8](repeating: UInt8(ascii: "a"), count: 5 << 20))
                == ["/l:1:1: error: a line of 5242880 bytes is no entry"])
        #expect(domainErrors([UInt8(ascii: "#")] + [UInt8](repeating: UInt8(ascii: "a"), count: 5 << 20)) == [])
    }

    @Test func networksAreCheckedAsThoseInline() {
        let list = Array("10.0.0.0/8\n10.0.0.5/8\n\n10.0.0.0/33 # too long\nexample.com\n".utf8)
        #expect(
            errors("[[rule]]\ndestination_file = '/l'\naction = 'reject'", ["/l": list]) == [
                #"/l:2:1: error: "10.0.0.5/8" has bits set beyond its prefix, did you mean "10.0.0.0/8"?"#,
                #"/l:4:1: error: "10.0.0.0/33" is not a network: "33" is not a prefix length from 0 to 32"#,
                #"/l:5:1: error: "example.com" is not a network: "example.com" is not an IPv4 or IPv6 address"#,
            ])
    }

    @Test func theConfigurationsOwnErrorsComeFirstAndAListsOnce() {
        let rule = "[[rule]]\ndomain_file = '/l'\naction = 'direct'\n"
        #expect(
            errors(rule + rule + "port = 0\n", ["/l": Array("ok\n1.2.3.4\n".utf8)]) == [
                "/etc/clearway/t.toml:7:8: error: port: 0 is not a port: ports are 1 to 65535",
                #"/l:2:1: error: "1.2.3.4" is the address 1.2.3.4: it belongs into destination"#,
            ])
    }

    @Test func twentyErrorsAreShownAndTheRestCounted() {
        let list = (0..<2000).map { $0 % 2 == 0 ? "a b" : "good\($0).example" }.joined(separator: "\n")
        let lines = domainErrors(Array(list.utf8))
        #expect(lines.count == 21)
        #expect(lines[19] == #"/l:39:1: error: "a b": one entry a line"#)
        #expect(lines[20] == "/l: error: 980 more errors")
        #expect(
            errors("workers = -1\n[[rule]]\ndomain_file = '/l'\naction = 'reject'", ["/l": Array(list.utf8)]).last
                == "/l: error: 981 more errors")
    }

    @Test(arguments: [
        ("domain_file = 'x'", [#"2:15: domain_file: "/etc/clearway/x" cannot be read: there is none"#]),
        (
            "domain_file = ['/l', 'x', '/y']\ndestination_file = '/y'",
            [
                #"2:22: domain_file: "/etc/clearway/x" cannot be read: there is none"#,
                #"2:27: domain_file: "/y" cannot be read: there is none"#,
                #"3:20: destination_file: "/y" cannot be read: there is none"#,
            ]
        ),
        ("domain_file = ''", ["2:15: domain_file: the path is empty"]),
        ("domain_file = []", ["2:15: domain_file: the list is empty, so leave it out if all are meant"]),
        ("destination_file = 3", ["2:20: destination_file: expected the path of a file, found the integer 3"]),
        (
            "domain_file = [\(Array(repeating: "'/l'", count: 65).joined(separator: ","))]",
            ["2:15: domain_file: 65 entries; at most 64 are possible"]
        ),
        ("domain_fil = 'x'", [#"2:1: unknown key "domain_fil" in [[rule]], did you mean "domain_file"?"#]),
    ])
    func whatAListMayNotBe(line: String, expected: [String]) {
        #expect(
            errors("[[rule]]\n\(line)\naction = 'reject'", ["/l": Array("a".utf8)])
                == expected.map { "/etc/clearway/t.toml:" + $0.replacing(": ", with: ": error: ", maxReplacements: 1) })
    }

    @Test func aListBelongsToARule() {
        #expect(
            findings("[[listener]]\nlocal = true\ndomain_file = 'x'") == [
                #"3:1: unknown key "domain_file": it belongs to [[rule]]"#
            ])
    }

    @Test func withoutAReaderNothingIsRead() {
        #expect(
            findings("[[rule]]\ndomain_file = '/etc/hostname'\naction = 'reject'")
                == [#"2:15: domain_file: "/etc/hostname" cannot be read: no files are read here"#])
    }

    @Test func entriesOfAllListsAreBounded() {
        // A quarter of what is allowed, twice in each of three rules: in the third it is too much.
        let list = Array(String(repeating: "a\n", count: 2_097_152 / 4).utf8)
        let rule = "[[rule]]\ndomain_file = ['/l', '/l']\naction = 'reject'\n"
        #expect(errors(rule + rule, ["/l": list]) == [])
        let message = #"domain_file: with "/l" there are more than 2097152 entries in list files"#
        #expect(
            errors(rule + rule + rule, ["/l": list]) == [
                "/etc/clearway/t.toml:8:16: error: \(message)", "/etc/clearway/t.toml:8:22: error: \(message)",
            ])
        let single = "[[rule]]\ndomain_file = '/l'\naction = 'reject'\n"
        #expect(
            errors(single, ["/l": list + list + list + list + list]) == ["/etc/clearway/t.toml:2:15: error: \(message)"])
    }

    @Test func whateverIsInAListIsAPolicyOrErrorsInsideIt() throws {
        var random = SplitMix(11)
        let tokens =
            [
                "a.example", "*.", "*", "\n", "\r\n", "\r", "#", " ", "\t", ",", "\0", "ü", "１", "。", "127.1", "10.0.0.0/8", "/",
                ":", "\u{FEFF}",
                "xn--", "\u{301}",
            ].map { Array($0.utf8) } + [[0xFF], [0xC3], [0xE3, 0x80]]
        for _ in 0..<3000 {
            let bytes = (0..<random.below(20)).flatMap { _ in tokens[random.below(tokens.count)] }
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            for key in ["domain_file", "destination_file"] {
                do {
                    let rule = try parse("[[rule]]\n\(key) = '/l'\naction = 'reject'", ["/l": bytes]).rules[0]
                    let entries = (rule.domains?.count ?? 0) + (rule.destinations?.count ?? 0)
                    #expect(entries <= lines.count && rule.canMatch == (entries > 0))
                } catch {
                    for diagnostic in error.diagnostics {
                        #expect(diagnostic.file == "/l" && (1...lines.count).contains(diagnostic.line))
                        #expect((1...lines[diagnostic.line - 1].count).contains(diagnostic.column))
                    }
                }
            }
        }
    }
}

/// The same from real files, of every kind that a path can lead to.
@Suite struct ListFileReadingTests {
    /// Runs `body` with a directory that exists for as long.
    private func withDirectory<Result>(_ body: (String) throws -> Result) throws -> Result {
        var template = Array("/tmp/clearway-lists-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer {
            for name in ["clearway.toml", "list", "link", "fifo", "large"] { unlink("\(path)/\(name)") }
            rmdir("\(path)/directory")
            rmdir(path)
        }
        return try body(path)
    }

    private func write(_ text: String, _ path: String) throws {
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
    }

    private func load(_ list: String, in directory: String) throws -> Configuration {
        try write("[[rule]]\ndomain_file = '\(list)'\naction = 'reject'\n", "\(directory)/clearway.toml")
        return try Configuration.load("\(directory)/clearway.toml")
    }

    private func failure(_ list: String, in directory: String) throws -> String {
        do {
            _ = try load(list, in: directory)
            return "none"
        } catch let error as ConfigurationErrors {
            return error.description.replacing(directory, with: "D")
        }
    }

    @Test func aFileAndALinkToItAreRead() throws {
        try withDirectory { directory in
            try write("a.example\nb.example\n", "\(directory)/list")
            symlink("list", "\(directory)/link")
            for name in ["list", "link", "./list", "\(directory)/list"] {
                #expect(try load(name, in: directory).rules[0].domains?.count == 2)
            }
            try write("a..example\n", "\(directory)/list")
            #expect(try failure("list", in: directory).hasPrefix(#"D/list:1:1: error: "a..example" is no name"#))
        }
    }

    /// A FIFO that nobody writes to, a device that never ends: an error at once, and no waiting.
    @Test func whatIsNoRegularFileIsRefused() throws {
        try withDirectory { directory in
            mkfifo("\(directory)/fifo", 0o600)
            mkdir("\(directory)/directory", 0o700)
            symlink("missing", "\(directory)/link")
            for (name, named, reason) in [
                ("fifo", "D/fifo", "it is a FIFO, not a regular file"), ("directory", "D/directory", "Is a directory"),
                ("link", "D/link", "No such file or directory"), ("list", "D/list", "No such file or directory"),
                ("list/x", "D/list/x", "No such file or directory"), ("clearway.toml/x", "D/clearway.toml/x", "Not a directory"),
                ("/dev/zero", "/dev/zero", "it is not a regular file"),
            ] {
                let said = try failure(name, in: directory)
                #expect(said == #"D/clearway.toml:2:15: error: domain_file: "\#(named)" cannot be read: \#(reason)"#)
            }
        }
    }

    @Test func theLargestFileIsSixtyFourMebibytes() throws {
        try withDirectory { directory in
            // Nearly all of it a hole.
            try write("a.example\n#", "\(directory)/large")
            truncate("\(directory)/large", 64 << 20)
            #expect(try load("large", in: directory).rules[0].domains?.count == 1)
            truncate("\(directory)/large", 64 << 20 + 1)
            let said = try failure("large", in: directory)
            #expect(
                said
                    == #"D/clearway.toml:2:15: error: domain_file: "D/large" cannot be read: it is larger than 64 MiB"#)
        }
    }
}
