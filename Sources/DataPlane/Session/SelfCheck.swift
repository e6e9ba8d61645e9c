public import TransparentSockets

/// Tells a connection made to one of our own listeners from an intercepted one.
///
/// An intercepted connection keeps the port it was going to. So a destination with a listener's port and an address of
/// this host was never intercepted: somebody connected to us directly, and dialling it would connect us to ourselves.
public struct SelfCheck {
    private let addresses: Set<ListenAddress>
    private let ports: Set<UInt16>
    private var hostAddresses: Set<IPAddress> = []
    private var readAt: UInt64 = 0

    /// - Parameter addresses: what all our listeners are bound to.
    public init(_ addresses: some Sequence<ListenAddress>) {
        self.addresses = Set(addresses)
        ports = Set(self.addresses.map(\.value.port))
    }

    /// - Parameter now: as of ``ownAddresses(now:)``.
    public mutating func isOurselves(_ destination: OriginalDestination, now: UInt64) -> Bool {
        guard ports.contains(destination.value.port) else { return false }
        if addresses.contains(ListenAddress(destination.value)) { return true }
        if destination.value.address.isLoopback || destination.value.address.isUnspecified { return true }
        return ownAddresses(now: now).contains(destination.value.address)
    }

    /// - Parameter now: monotonic nanoseconds; this host's addresses are read again when they are a second old.
    mutating func ownAddresses(now: UInt64) -> Set<IPAddress> {
        if readAt == 0 || now - readAt > 1_000_000_000 {
            hostAddresses = (try? TransparentSockets.hostAddresses()) ?? hostAddresses
            readAt = now
        }
        return hostAddresses
    }
}
