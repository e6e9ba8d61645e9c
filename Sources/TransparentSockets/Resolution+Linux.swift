#if os(Linux)
internal import CSockets
internal import Glibc

/// The unicast addresses of a host name, as the system's resolver knows them: both families by turns, beginning with the one
/// that it prefers (RFC 6724, RFC 8305 §4). Waits for the answer, for as long as the system does.
///
/// Source: `getaddrinfo(3)`.
public func addresses(of name: String) throws(ResolutionError) -> [IPAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var first: UnsafeMutablePointer<addrinfo>?
    let result = getaddrinfo(name, nil, &hints, &first)
    guard result == 0 else { throw ResolutionError(reason: String(cString: gai_strerror(result))) }
    defer { freeaddrinfo(first) }
    var found: [IPAddress] = []
    var next = first
    while let entry = next {
        next = entry.pointee.ai_next
        guard let raw = entry.pointee.ai_addr else { continue }
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(Int(entry.pointee.ai_addrlen), $0.count)))
        }
        var endpoint = cs_endpoint()
        cs_from_sockaddr(&storage, &endpoint)
        guard let address = SocketAddress(endpoint)?.address.unmapped, !found.contains(address), !address.isUnspecified,
            !address.isMulticast, !(address.isIPv6 && address.isLinkLocal)
        else { continue }
        found.append(address)
    }
    guard let preferred = found.first else { throw ResolutionError(reason: "it has no usable address") }
    let same = found.filter { $0.isIPv6 == preferred.isIPv6 }
    let other = found.filter { $0.isIPv6 != preferred.isIPv6 }
    return (0..<max(same.count, other.count)).flatMap { index in
        [same, other].compactMap { index < $0.count ? $0[index] : nil }
    }
}
#endif
