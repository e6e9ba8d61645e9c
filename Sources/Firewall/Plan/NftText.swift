internal import TransparentSockets

/// The address as nft writes it before a port.
func portOnly(_ address: SocketAddress) -> String { SocketAddress(address.address, port: address.port).description }

/// Identifiers nft takes, all different.
func chainNames(_ names: [String]) -> [String] {
    var taken: Set<String> = []
    return names.map { name in
        let safe = String(
            decoding: name.utf8.prefix(48).map { byte -> UInt8 in
                let letter = byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
                return letter || byte &- 0x30 < 10 ? byte : UInt8(ascii: "_")
            }, as: UTF8.self)
        var candidate = safe
        var number = 2
        while !taken.insert(candidate).inserted {
            candidate = "\(safe)_\(number)"
            number += 1
        }
        return candidate
    }
}

/// Sorted ranges without overlap or neighbours; empty when they are all ports.
func merged(_ ports: [ClosedRange<UInt16>]) -> [ClosedRange<UInt16>] {
    var result: [ClosedRange<UInt16>] = []
    for range in ports.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
        if let last = result.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
            result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
        } else {
            result.append(range)
        }
    }
    return result.count == 1 && result[0].lowerBound <= 1 && result[0].upperBound == .max ? [] : result
}

func portText(_ range: ClosedRange<UInt16>) -> String {
    range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
}

func unique<Element: Hashable>(_ elements: [Element]) -> [Element] {
    var seen: Set<Element> = []
    return elements.filter { seen.insert($0).inserted }
}

/// Lines of nft, indented with tabs as nft prints them.
struct NftText {
    var result = ""
    private var depth = 0

    mutating func line(_ text: String) { result += String(repeating: "\t", count: depth) + text + "\n" }
    mutating func open(_ text: String) {
        line(text + " {")
        depth += 1
    }
    mutating func close() {
        depth -= 1
        line("}")
    }
}
