internal import Configuration
internal import DataPlane
internal import Glibc
internal import SystemPackage
internal import TransparentSockets

/// What transocks' `listen` stands for on this host.
///
/// - Parameter text: Go's `host:port`. An empty or unspecified host is every address of both families; `localhost` is both of
///   its addresses; of another name's addresses the first IPv4 one is taken, else the first.
func listenAddresses(_ text: String) throws(DropInError) -> [ListenAddress] {
    let (host, service) = try split(text)
    let port = try port(service)
    let wildcard = IPAddress.v6(IPv6Address(high: 0, low: 0))
    let found: [SocketAddress]
    if host.isEmpty {
        found = [SocketAddress(wildcard, port: port)]
    } else if let address = zoned(host, port) {
        found = [address.address.isUnspecified ? SocketAddress(wildcard, port: port) : address]
    } else if host.lowercased() == "localhost" {
        let loopbacks = [IPAddress.v4(IPv4Address(bits: 0x7F00_0001)), .v6(IPv6Address(high: 0, low: 1))]
        let ours = (try? hostAddresses()) ?? []
        found = loopbacks.filter { !$0.isIPv6 || ours.contains($0) }.map { SocketAddress($0, port: port) }
    } else {
        do throws(ResolutionError) {
            let all = try addresses(of: host)
            guard let first = all.first(where: { !$0.isIPv6 }) ?? all.first else { throw ResolutionError(reason: "no address") }
            found = [SocketAddress(first, port: port)]
        } catch {
            throw DropInError("listen tcp: lookup \(host): \(error)")
        }
    }
    return found.map(ListenAddress.init)
}

/// Go's `SplitHostPort`.
private func split(_ text: String) throws(DropInError) -> (host: String, port: String) {
    let fail = { (why: String) in DropInError("listen tcp: address \(text): \(why)") }
    guard let colon = text.lastIndex(of: ":"), !text.hasSuffix("]") else { throw fail("missing port in address") }
    var host = text[..<colon]
    if host.hasPrefix("[") {
        guard host.hasSuffix("]") else { throw fail("missing ']' in address") }
        host = host.dropFirst().dropLast()
    } else if host.contains(":") {
        throw fail("too many colons in address")
    }
    return (String(host), String(text[text.index(after: colon)...]))
}

/// A number, or a name of `services(5)`. Not 0: no rule could redirect to a port that nobody knows.
private func port(_ text: String) throws(DropInError) -> UInt16 {
    if !text.isEmpty, text.utf8.allSatisfy({ $0 &- 0x30 < 10 }) {
        guard let port = UInt16(text), port > 0 else { throw DropInError("listen tcp: address \(text): invalid port") }
        return port
    }
    guard !text.isEmpty, let entry = getservbyname(text, "tcp") else {
        throw DropInError("listen tcp: unknown port tcp/\(text)")
    }
    return UInt16(truncatingIfNeeded: entry.pointee.s_port).byteSwapped
}

/// An address, perhaps with the zone of a link-local one: `fe80::1%eth0`.
private func zoned(_ text: String, _ port: UInt16) -> SocketAddress? {
    guard let percent = text.firstIndex(of: "%") else {
        return IPAddress(text).map { SocketAddress($0.unmapped, port: port) }
    }
    let zone = String(text[text.index(after: percent)...])
    let index = if_nametoindex(zone) == 0 ? UInt32(zone) ?? 0 : if_nametoindex(zone)
    guard let address = IPv6Address(text[..<percent]), index != 0 else { return nil }
    return SocketAddress(.v6(address), port: port, scope: index)
}
