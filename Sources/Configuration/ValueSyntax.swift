internal import Policy
internal import TransparentSockets

/// The little languages inside strings. Pure: text in, value or the reason for a refusal out.
enum ValueSyntax {
    /// `300ms`, `10s`, `5m`, `1h`.
    static func duration(_ text: String) throws(Refusal) -> Duration {
        let digits = text.utf8.prefix { $0 &- 0x30 < 10 }.count
        let units: [String: Int] = ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000]
        guard digits > 0, let factor = units[String(text.dropFirst(digits))] else {
            throw Refusal("\(quoted(text)) is not a duration: write a whole number and ms, s, m or h, such as \"10s\"")
        }
        guard let number = Int(text.prefix(digits)),
            case (let milliseconds, let overflow) = number.multipliedReportingOverflow(by: factor),
            !overflow, milliseconds <= 365 * 86_400_000
        else { throw Refusal("\(quoted(text)) is longer than 365 days") }
        return .milliseconds(milliseconds)
    }

    /// `443` or `8000-8999`.
    static func ports(_ text: String) throws(Refusal) -> ClosedRange<UInt16> {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }) else {
            throw Refusal("\(quoted(text)) is not a port or a range of ports: write 443 or \"8000-8999\"")
        }
        let first = try port(Int(parts[0]) ?? .max, as: String(parts[0]))
        let last = try port(Int(parts[parts.count - 1]) ?? .max, as: String(parts[parts.count - 1]))
        guard first <= last else { throw Refusal("the range \(quoted(text)) ends before it begins") }
        return first...last
    }

    static func port(_ number: Int, as text: String) throws(Refusal) -> UInt16 {
        guard let port = UInt16(exactly: number), port > 0 else {
            throw Refusal("\(text.utf8.count > 64 ? "this" : text) is not a port: ports are 1 to 65535")
        }
        return port
    }

    /// Overlapping and adjacent ranges become one.
    static func merged(_ ranges: [ClosedRange<UInt16>]) -> [ClosedRange<UInt16>] {
        var result: [ClosedRange<UInt16>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = result.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                result.append(range)
            }
        }
        return result
    }

    /// `[::]:1081`, `192.0.2.1:1081`.
    static func listenAddress(_ text: String) throws(Refusal) -> ListenAddress {
        let form = "write \"[::]:1081\" (every address), \"0.0.0.0:1081\" (every IPv4 address) or one address and port"
        guard let colon = text.lastIndex(of: ":") else {
            if IPv4Address(text) != nil { throw Refusal("\(quoted(text)) lacks a port: write \"\(text):1081\"") }
            if text.utf8.allSatisfy({ $0 &- 0x30 < 10 }), !text.isEmpty {
                throw Refusal("\(quoted(text)) is a port alone: write \"[::]:\(text.prefix(64))\"")
            }
            throw Refusal("\(quoted(text)) is not an address and port: \(form)")
        }
        let host = text[..<colon]
        let digits = text[text.index(after: colon)...]
        if host.contains("%") { throw Refusal("\(quoted(text)): an address with a zone is not supported; listen on \"[::]:1081\"") }
        if IPv6Address(text) != nil || IPv6Address(host) != nil {
            throw Refusal("\(quoted(text)): an IPv6 address stands in brackets, as in \"[::1]:1081\"")
        }
        if text.hasPrefix("["), text.hasSuffix("]"), IPv6Address(text.dropFirst().dropLast()) != nil {
            throw Refusal("\(quoted(text)) lacks a port: write \"\(text):1081\"")
        }
        guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }) else {
            throw Refusal("\(quoted(text)) does not end in a port: \(form)")
        }
        let port = try port(Int(digits) ?? .max, as: String(digits))
        if host.isEmpty || host == "*" { throw Refusal("\(quoted(text)) lacks an address: write \"[::]:\(port)\"") }
        guard var address = SocketAddress("\(host):\(port)") else {
            let isName = host.contains { $0.isLetter } && !host.contains(":")
            let hint = host == "localhost" ? "write \"127.0.0.1:\(port)\" and \"[::1]:\(port)\"" : form
            throw Refusal(
                isName ? "\(quoted(text)): names are not resolved; \(hint)" : "\(quoted(text)) is not an address and port: \(form)")
        }
        address.address = address.address.unmapped
        return ListenAddress(address)
    }

    /// CIDR notation, or an address alone.
    static func network(_ text: String) throws(Refusal) -> IPNetwork {
        do throws(IPNetwork.ParseError) {
            return try IPNetwork(parsing: text)
        } catch {
            switch error {
            case .address(let part):
                throw Refusal("\(quoted(text)) is not a network: \(quoted(part)) is not an IPv4 or IPv6 address")
            case .prefixLength(let part):
                let isIPv6 = text.contains(":")
                throw Refusal(
                    "\(quoted(text)) is not a network: \(quoted(part)) is not a prefix length from 0 to \(isIPv6 ? 128 : 32)")
            case .hostBits(let network):
                throw Refusal("\(quoted(text)) has bits set beyond its prefix, did you mean \"\(network)\"?")
            }
        }
    }

    /// `example.com`, `*.example.com`, in any script.
    static func domain(_ bytes: borrowing Span<UInt8>) throws(Refusal) -> DomainPattern {
        do throws(DomainName.WritingError) {
            return try DomainPattern(written: bytes)
        } catch {
            let text = quoted(String(copying: bytes))
            switch error {
            case .address(let address): throw Refusal("\(text) is the address \(address): it belongs into destination")
            case .noALabels(let reason): throw Refusal("\(text) has no A-labels: \(reason)")
            case .noName: throw Refusal("\(text) is no name, such as \"example.com\" or \"*.example.com\"")
            }
        }
    }

    /// What the kernel accepts, less what nft cannot quote. A `*` at the end is nft's wildcard.
    static func interface(_ text: String) throws(Refusal) -> String {
        guard (1...15).contains(text.utf8.count) else {
            throw Refusal("\(quoted(text)) is not an interface: a name has 1 to 15 bytes")
        }
        let name = text.hasSuffix("*") ? text.dropLast() : text[...]
        guard !name.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || "/:\"\\*".utf8.contains($0) }), name != ".", name != "..",
            !name.isEmpty
        else {
            throw Refusal(
                "\(quoted(text)) is not an interface: no space, /, :, quote or backslash, and * only at the end of a name")
        }
        guard name != "lo" else {
            throw Refusal("\"lo\" is where this host talks to itself: to intercept what this host sends, set local = true")
        }
        return text
    }

    static func tableName(_ text: String) throws(Refusal) -> String {
        let isName = text.utf8.enumerated().allSatisfy { index, byte in
            byte == UInt8(ascii: "_") || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || (index > 0 && (0x30...0x39).contains(byte))
        }
        guard isName, (1...60).contains(text.utf8.count) else {
            throw Refusal("\(quoted(text)) is not a table name: 1 to 60 letters, digits and _, no digit first")
        }
        return text
    }

    /// Of a listener or an upstream.
    static func name(_ text: String) throws(Refusal) -> String {
        let isName = text.utf8.allSatisfy { byte in
            "._-".utf8.contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || (0x30...0x39).contains(byte)
        }
        guard isName, (1...64).contains(text.utf8.count) else {
            throw Refusal("\(quoted(text)) is not a name: 1 to 64 letters, digits, \".\", \"_\" and \"-\"")
        }
        return text
    }

    static let priorityNames = ["raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100]

    /// `mangle`, `mangle + 5`, `mangle - 5`, `-155`.
    static func priority(_ text: String) throws(Refusal) -> Int {
        let words = text.replacing("+", with: " + ").replacing("-", with: " - ").split(separator: " ").map(String.init)
        func number(_ word: String) -> Int? { word.utf8.allSatisfy { $0 &- 0x30 < 10 } && word.utf8.count <= 6 ? Int(word) : nil }
        var value: Int?
        switch words.count {
        case 1: value = priorityNames[words[0]] ?? number(words[0])
        case 2 where words[0] == "-": value = number(words[1]).map { -$0 }
        case 3 where words[1] == "+" || words[1] == "-":
            if let base = priorityNames[words[0]], let offset = number(words[2]) {
                value = words[1] == "+" ? base + offset : base - offset
            }
        default: break
        }
        guard let value else {
            let names = priorityNames.sorted { $0.value < $1.value }.map(\.key)
            let hint = suggestion(for: words.first ?? "", among: names)
            throw Refusal("\(quoted(text)) is not a priority: an integer, or \(enumeration(names)) with + or - a number\(hint)")
        }
        return try priority(value)
    }

    static func priority(_ number: Int) throws(Refusal) -> Int {
        guard (-400...300).contains(number) else { throw Refusal("\(number) is not from -400 to 300") }
        return number
    }

}

extension ValueSyntax {
    /// RFC 9110 §5.6.2.
    static func isTokenOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(octet)
        }
    }
}
