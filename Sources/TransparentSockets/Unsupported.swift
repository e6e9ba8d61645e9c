#if !os(Linux)
public import SystemPackage

// The same functions as the Linux files, each with an honest answer. pf's `divert-to` is the way on BSD; until it is
// written, nothing here pretends.

private func unsupported(_ call: String) -> SocketError {
    SocketError(call: call, errno: .notSupported, hint: "transparent sockets are implemented for Linux only")
}

public struct TransparentListener: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let address: ListenAddress
    public let mode: InterceptionMode

    public init(_ address: ListenAddress, _ options: ListenerOptions) throws(SocketError) {
        throw unsupported("TransparentListener")
    }

    public init(
        on descriptor: consuming Descriptor, _ address: ListenAddress, _ options: ListenerOptions
    ) throws(SocketError) {
        throw unsupported("TransparentListener")
    }

    public static func checkFree(_ address: ListenAddress, _ options: ListenerOptions) throws(SocketError) {
        throw unsupported("TransparentListener.checkFree")
    }

    public func accept() throws(SocketError) -> AcceptedConnection? { throw unsupported("accept") }
}

public struct AcceptedConnection: ~Copyable, Sendable {
    public let descriptor: Descriptor
    public let client: ClientAddress
    public let mode: InterceptionMode

    public borrowing func originalDestination() throws(SocketError) -> OriginalDestination {
        throw unsupported("originalDestination")
    }

    public consuming func release() -> Descriptor { descriptor }
}

public func dial(
    _ upstream: UpstreamAddress, _ options: DialOptions = DialOptions()
) throws(SocketError) -> DialedConnection {
    throw unsupported("dial")
}

public func dial(
    _ upstream: UpstreamAddress, _ options: DialOptions = DialOptions(), within deadline: Duration
) throws(SocketError) -> Descriptor {
    throw unsupported("dial")
}

public func disconnect(_ raw: Int32) throws(SocketError) -> Bool { throw unsupported("disconnect") }

public func redial(_ raw: Int32, to upstream: UpstreamAddress) throws(SocketError) -> DialProgress {
    throw unsupported("redial")
}

public func addresses(of name: String) throws(ResolutionError) -> [IPAddress] {
    throw ResolutionError(reason: "not supported on this system")
}

public func connectionError(_ raw: Int32) -> Errno? { .notSupported }

public func acknowledgeNow(_ raw: Int32) {}

public func setKeepAlive(_ raw: Int32, seconds: Int32) throws(SocketError) { throw unsupported("setsockopt(SO_KEEPALIVE)") }

public func localAddress(_ raw: Int32) throws(SocketError) -> LocalAddress { throw unsupported("getsockname") }

public func hostAddresses() throws(SocketError) -> Set<IPAddress> { throw unsupported("getifaddrs") }
#endif
