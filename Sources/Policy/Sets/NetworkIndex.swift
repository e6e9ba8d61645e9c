internal import TransparentSockets

/// Which rules' networks hold an address: one binary search, however many networks there are, and one step for each of those
/// that lie around it.
struct NetworkIndex: Sendable {
    private var ipv4: Family<UInt32>
    private var ipv6: Family<UInt128>

    /// - Parameter networks: with the rule each belongs to.
    init(_ networks: [(network: IPNetwork, rule: UInt32)]) {
        var v4: [(first: UInt32, length: Int, rule: UInt32)] = []
        var v6: [(first: UInt128, length: Int, rule: UInt32)] = []
        for (network, rule) in networks {
            switch network.base {
            case .v4(let base): v4.append((base.bits, network.prefixLength, rule))
            case .v6(let base): v6.append((UInt128(base), network.prefixLength, rule))
            }
        }
        ipv4 = Family(v4)
        ipv6 = Family(v6)
    }

    /// Calls `body` with the rules of every network that holds the address, each list in ascending order.
    @inline(__always)
    func forEachMatch(_ address: IPAddress, _ body: (Span<UInt32>) -> Void) {
        switch address {
        case .v4(let v4): ipv4.forEachMatch(v4.bits, body)
        case .v6(let v6): ipv6.forEachMatch(UInt128(v6), body)
        }
    }

    /// Networks of one family. They never overlap in part: of two, one holds the other, or they are apart. So the addresses
    /// fall into stretches, each with one innermost network around it.
    private struct Family<Address: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
        private struct Network {
            /// The next bigger one around it; -1: none.
            var outer: Int32
            var rules: Range<UInt32>
        }

        private var networks: [Network] = []
        private var rules: [UInt32] = []
        /// Where each stretch begins, ascending, and its innermost network; -1: none.
        private var starts: [Address] = []
        private var innermost: [Int32] = []

        init(_ given: [(first: Address, length: Int, rule: UInt32)]) {
            // Bigger ones before those they hold.
            let sorted = given.sorted { ($0.first, $0.length, $0.rule) < ($1.first, $1.length, $1.rule) }
            var open: [(network: Int32, last: Address)] = []
            var index = 0
            while index < sorted.count {
                let (first, length, _) = sorted[index]
                closeBefore(first, &open)
                let start = UInt32(rules.count)
                while index < sorted.count, sorted[index].first == first, sorted[index].length == length {
                    if rules.count == start || rules.last != sorted[index].rule { rules.append(sorted[index].rule) }
                    index += 1
                }
                let number = Int32(networks.count)
                networks.append(Network(outer: open.last?.network ?? -1, rules: start..<UInt32(rules.count)))
                begin(first, number)
                let hostBits = Address.bitWidth - length
                open.append((number, hostBits == Address.bitWidth ? .max : first | ((1 << Address(hostBits)) - 1)))
            }
            closeBefore(nil, &open)
        }

        /// Ends the stretches of open networks that end before `first`; nil: of all.
        private mutating func closeBefore(_ first: Address?, _ open: inout [(network: Int32, last: Address)]) {
            while let top = open.last, first.map({ top.last < $0 }) ?? true {
                open.removeLast()
                if top.last != .max { begin(top.last + 1, open.last?.network ?? -1) }
            }
        }

        private mutating func begin(_ start: Address, _ network: Int32) {
            if starts.last == start {
                innermost[innermost.count - 1] = network
            } else {
                starts.append(start)
                innermost.append(network)
            }
        }

        @inline(__always)
        func forEachMatch(_ address: Address, _ body: (Span<UInt32>) -> Void) {
            var low = 0
            var high = starts.count
            while low < high {
                let middle = (low + high) / 2
                if starts[middle] <= address { low = middle + 1 } else { high = middle }
            }
            guard low > 0 else { return }
            var number = innermost[low - 1]
            while number >= 0 {
                let network = networks[Int(number)]
                body(rules.span.extracting(Int(network.rules.lowerBound)..<Int(network.rules.upperBound)))
                number = network.outer
            }
        }
    }
}

extension UInt128 {
    fileprivate init(_ address: IPv6Address) { self = UInt128(address.high) << 64 | UInt128(address.low) }
}
