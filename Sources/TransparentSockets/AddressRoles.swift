// Each role an address plays is a type of its own, so that swapping two of them does not compile.

/// Where one of our listeners is bound.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    public var value: SocketAddress
    public init(_ value: SocketAddress) { self.value = value }
    public var description: String { value.description }
}

/// Who connected to us.
public struct ClientAddress: Hashable, Sendable, CustomStringConvertible {
    public var value: SocketAddress
    public init(_ value: SocketAddress) { self.value = value }
    public var description: String { value.description }
}

/// Where the client meant to go, before the kernel handed the connection to us.
public struct OriginalDestination: Hashable, Sendable, CustomStringConvertible {
    public var value: SocketAddress
    public init(_ value: SocketAddress) { self.value = value }
    public var description: String { value.description }
}

/// Whom we connect to.
public struct UpstreamAddress: Hashable, Sendable, CustomStringConvertible {
    public var value: SocketAddress
    public init(_ value: SocketAddress) { self.value = value }
    public var description: String { value.description }
}

/// Our own address towards an upstream.
public struct LocalAddress: Hashable, Sendable, CustomStringConvertible {
    public var value: SocketAddress
    public init(_ value: SocketAddress) { self.value = value }
    public var description: String { value.description }
}
