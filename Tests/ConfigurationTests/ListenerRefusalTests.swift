import Configuration
import Testing

/// The messages people read, word for word, with their places.
@Suite struct ListenerRefusalTests {
    private static let listenCases: [(text: String, findings: [String])] = [
        (
            listener(
                "listen = ['localhost:1081', ':1081', '1081', '0.0.0.0', '[::]', '::1:1081', '[::]:0', '0.0.0.0:70000', '*:1081', '[fe80::1%eth0]:1', 'example.com:1', '1.2.3:4', '[::1', '']"
            ),
            [
                #"3:11: listen: "localhost:1081": names are not resolved; write "127.0.0.1:1081" and "[::1]:1081""#,
                #"3:29: listen: ":1081" lacks an address: write "[::]:1081""#,
                #"3:38: listen: "1081" is a port alone: write "[::]:1081""#,
                #"3:46: listen: "0.0.0.0" lacks a port: write "0.0.0.0:1081""#,
                #"3:57: listen: "[::]" lacks a port: write "[::]:1081""#,
                #"3:65: listen: "::1:1081": an IPv6 address stands in brackets, as in "[::1]:1081""#,
                "3:77: listen: 0 is not a port: ports are 1 to 65535",
                "3:87: listen: 70000 is not a port: ports are 1 to 65535",
                #"3:104: listen: "*:1081" lacks an address: write "[::]:1081""#,
                #"3:114: listen: "[fe80::1%eth0]:1": an address with a zone is not supported; listen on "[::]:1081""#,
                #"3:134: listen: "example.com:1": names are not resolved; write "[::]:1081" (every address), "0.0.0.0:1081" (every IPv4 address) or one address and port"#,
                #"3:151: listen: "1.2.3:4" is not an address and port: write "[::]:1081" (every address), "0.0.0.0:1081" (every IPv4 address) or one address and port"#,
                #"3:162: listen: "[::1" is not an address and port: write "[::]:1081" (every address), "0.0.0.0:1081" (every IPv4 address) or one address and port"#,
                #"3:170: listen: "" is not an address and port: write "[::]:1081" (every address), "0.0.0.0:1081" (every IPv4 address) or one address and port"#,
            ]
        ),
        (
            listener("listen = ['[::]:1081', '127.0.0.1:1081']") + "\n[[listener]]\nlocal = true\nname = 'b'\nlisten = '[::]:1081'",
            [
                #"3:24: listen: "127.0.0.1:1081" overlaps with "[::]:1081": the first is at line 3"#,
                #"7:10: listen: "[::]:1081" is taken: the first is at line 3; give this one a port of its own, such as listen = "[::]:1082""#,
            ]
        ),
        (
            listener("name = 'a'") + "\n" + listener("name = 'a'\nlisten = '[::]:1082'"),
            [
                #"6:8: name: "a" is taken: the first is at line 3"#
            ]
        ),
        (
            listener("listen = '127.0.0.1:1081'") + "\n" + listener("listen = '[::1]:1081'"),
            [
                #"4:3: two listeners would be called "tproxy-1081", so name one: the first is at line 1"#
            ]
        ),
        (
            listener("listen = '0.0.0.0:1081'") + "\n" + listener("name='b'\nlisten = '[::ffff:1.2.3.4]:1081'"),
            [
                #"7:10: listen: "1.2.3.4:1081" overlaps with "0.0.0.0:1081": the first is at line 3; give this one a port of its own, such as listen = "1.2.3.4:1082""#
            ]
        ),
    ]

    @Test(arguments: listenCases)
    func listen(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let listValuesCases: [(text: String, findings: [String])] = [
        (
            listener("interfaces = ['', 'abcdefghijklmnop', 'a b', 'a/b', 'a*b', '*', 'lo', 'eth0', 'eth0', 3]"),
            [
                #"3:15: interfaces: "" is not an interface: a name has 1 to 15 bytes"#,
                #"3:19: interfaces: "abcdefghijklmnop" is not an interface: a name has 1 to 15 bytes"#,
                #"3:39: interfaces: "a b" is not an interface: no space, /, :, quote or backslash, and * only at the end of a name"#,
                #"3:46: interfaces: "a/b" is not an interface: no space, /, :, quote or backslash, and * only at the end of a name"#,
                #"3:53: interfaces: "a*b" is not an interface: no space, /, :, quote or backslash, and * only at the end of a name"#,
                #"3:60: interfaces: "*" is not an interface: no space, /, :, quote or backslash, and * only at the end of a name"#,
                #"3:65: interfaces: "lo" is where this host talks to itself: to intercept what this host sends, set local = true"#,
                #"3:79: interfaces: "eth0" is listed twice"#,
                "3:87: interfaces: expected the name of an interface, found the integer 3",
            ]
        ),
        (
            listener("ports = [0, 70000, '9-1', '1-', 'http', '0-5', '1-70000', true, [1]]"),
            [
                "3:10: ports: 0 is not a port: ports are 1 to 65535",
                "3:13: ports: 70000 is not a port: ports are 1 to 65535",
                #"3:20: ports: the range "9-1" ends before it begins"#,
                #"3:27: ports: "1-" is not a port or a range of ports: write 443 or "8000-8999""#,
                #"3:33: ports: "http" is not a port or a range of ports: write 443 or "8000-8999""#,
                "3:41: ports: 0 is not a port: ports are 1 to 65535",
                "3:48: ports: 70000 is not a port: ports are 1 to 65535",
                #"3:59: ports: expected a port or a range such as "8000-8999", found true"#,
                #"3:65: ports: expected a port or a range such as "8000-8999", found an array"#,
            ]
        ),
        (
            listener("ports = []\nlisten = []\nprotocols = []"),
            [
                "3:9: ports: the list is empty, so nothing would be intercepted",
                "4:10: listen: the list is empty, so no address to listen on",
                "5:13: protocols: the list is empty, so nothing would be intercepted",
            ]
        ),
        (
            listener("destinations = ['10.0.0.5/8', '10.0.0.0/33', 'example.com', '::/129', 5]"),
            [
                #"3:17: destinations: "10.0.0.5/8" has bits set beyond its prefix, did you mean "10.0.0.0/8"?"#,
                #"3:31: destinations: "10.0.0.0/33" is not a network: "33" is not a prefix length from 0 to 32"#,
                #"3:46: destinations: "example.com" is not a network: "example.com" is not an IPv4 or IPv6 address"#,
                #"3:61: destinations: "::/129" is not a network: "129" is not a prefix length from 0 to 128"#,
                #"3:71: destinations: expected a network such as "203.0.113.0/24", found the integer 5"#,
            ]
        ),
    ]

    @Test(arguments: listValuesCases)
    func listValues(text: String, expected: [String]) { #expect(findings(text) == expected) }

    private static let scopeCases: [(text: String, findings: [String])] = [
        (listener("preserve_source = true"), [#"3:19: preserve_source: expected false, "address" or "address+port", found true"#]),
        (
            listener("preserve_source = 'adress'"),
            [
                #"3:19: preserve_source: expected false, "address" or "address+port", found "adress", did you mean "address"?"#
            ]
        ),
        (listener("preserve_source = 'address'"), []),
        (
            "[[listener]]\nname = 'x'",
            [
                #"1:3: this listener intercepts nothing: set interfaces = ["…"] for what arrives there, or local = true for this host's own"#
            ]
        ),
        (
            "[[listener]]\ninterfaces = []\nlocal = false",
            [
                #"1:3: this listener intercepts nothing: set interfaces = ["…"] for what arrives there, or local = true for this host's own"#
            ]
        ),
        ("[[listener]]\nlocal = 3", ["2:9: local: expected true or false, found the integer 3"]),
        (
            "[[listener]]\ninterfaces = ['a/b']",
            [
                #"2:15: interfaces: "a/b" is not an interface: no space, /, :, quote or backslash, and * only at the end of a name"#
            ]
        ),
        (
            "listener = [1, 2]",
            [
                "1:13: listener: expected a table, [[listener]], found the integer 1",
                "1:16: listener: expected a table, [[listener]], found the integer 2",
            ]
        ),
        ("listener = 'a'", [#"1:12: listener: expected a table, [[listener]], found the string "a""#]),
    ]

    @Test(arguments: scopeCases)
    func scope(text: String, expected: [String]) { #expect(findings(text) == expected) }

    @Test func whatDependsOnRulesIsNotAskedWithoutThem() {
        #expect(findings("[firewall]\nmanage = false\n[[listener]]\nmode = 'redirect'") == [])
    }

    @Test func preservingTheSourceIsFineForAGateway() {
        #expect(findings(listener("interfaces = 'eth1'\nmode = 'redirect'\npreserve_source = 'address'")) == [])
        #expect(findings("[firewall]\nmanage = false\n[[listener]]\npreserve_source = 'address'") == [])
    }

    @Test func addressesThatDoNotOverlap() {
        #expect(findings(listener("listen = ['127.0.0.1:1081', '127.0.0.2:1081', '127.0.0.1:1082', '[::1]:1081']")) == [])
        // Whether [::] takes IPv4 too is not for a second listener to find out.
        #expect(findings(listener("listen = ['0.0.0.0:1081', '[::1]:1081']")) == [])
    }

    @Test func listsAreBounded() {
        func numbered(_ count: Int, _ entry: (Int) -> String) -> String {
            "[" + (0..<count).map(entry).joined(separator: ",") + "]"
        }
        #expect(findings(listener("ports = \(numbered(4096) { "\($0 + 1)" })")) == [])
        #expect(
            findings(listener("ports = \(numbered(4097) { "\($0 + 1)" })")) == [
                "3:9: ports: 4097 entries; at most 4096 are possible"
            ])
        #expect(
            findings(listener("listen = \(numbered(65) { "'127.0.0.1:\($0 + 1)'" })")) == [
                "3:10: listen: 65 entries; at most 64 are possible"
            ])
        #expect(
            findings("listener = \(numbered(257) { "{local = true, listen = '[::]:\($0 + 1)'}" })") == [
                "1:1: 257 listeners; at most 256 are possible"
            ])
        #expect(findings("x = \(numbered(200_001) { _ in "1" })") == ["1:400002: the file holds more than 200000 values"])
    }
}
