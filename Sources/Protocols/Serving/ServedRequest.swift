/// What a client asks a proxy for, by whichever protocol.
///
/// The name of its target is a claim, well formed and no more: it may be an address in a spelling of its own (`127.1`,
/// `0x7f.0.0.1`), and whoever judges the request must read it as resolvers do before taking it for a name.
public struct ServedRequest: Hashable, Sendable {
    public enum Command: Hashable, Sendable { case connect, bind, udpAssociate }

    public var command: Command
    /// Connect: where to, with a port other than 0. Bind: who is expected to connect. UDP association: where its datagrams will
    /// come from. Of these two, address and port may be zero: not known yet.
    public var target: ProxyTarget

    public init(_ command: Command, _ target: ProxyTarget) {
        self.command = command
        self.target = target
    }
}

/// Who a client says it is, in bytes as they came: they may hold anything, NUL and line ends included.
public struct ServedCredentials: Hashable, Sendable {
    /// One octet at least.
    public var user: [UInt8]
    /// May be empty, which is right only where an empty password is what was agreed upon.
    public var password: [UInt8]

    public init(user: [UInt8], password: [UInt8]) {
        self.user = user
        self.password = password
    }
}

extension ServedCredentials: CustomStringConvertible {
    /// Says nothing, for it may end in a log by mistake.
    public var description: String { "credentials" }
}
