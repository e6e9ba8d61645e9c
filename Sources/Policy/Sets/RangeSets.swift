public import TransparentSockets

/// Ports, as ranges in ascending order without overlap.
public struct PortSet: Sendable {
    private let ranges: [ClosedRange<UInt16>]

    public init(_ given: [ClosedRange<UInt16>]) {
        var ranges: [ClosedRange<UInt16>] = []
        for range in given.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = ranges.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                ranges[ranges.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
        }
        self.ranges = ranges
    }

    public func contains(_ port: UInt16) -> Bool { ranges.contains { $0.contains(port) } }
    func covers(_ other: PortSet) -> Bool {
        other.ranges.allSatisfy { range in ranges.contains { $0.contains(range.lowerBound) && $0.contains(range.upperBound) } }
    }
}

/// Networks of one rule, to ask whether an address lies in any of them.
public struct NetworkSet: Sendable {
    private let networks: [IPNetwork]
    private let index: NetworkIndex

    public init(_ networks: [IPNetwork]) {
        self.networks = networks
        index = NetworkIndex(networks.enumerated().map { ($1, UInt32($0)) })
    }

    public func contains(_ address: IPAddress) -> Bool {
        var found = false
        index.forEachMatch(address) { _ in found = true }
        return found
    }

    /// Whether every network of `other` lies within one of these.
    func covers(_ other: NetworkSet) -> Bool {
        other.networks.allSatisfy { theirs in
            var found = false
            index.forEachMatch(theirs.base) { found = found || networks[Int($0[0])].prefixLength <= theirs.prefixLength }
            return found
        }
    }
}
