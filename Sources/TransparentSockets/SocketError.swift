public import SystemPackage

/// A system call that failed: which one, why, and what a person can do about it.
public struct SocketError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call and its decisive argument, such as `setsockopt(IP_TRANSPARENT)`.
    public var call: String
    /// What the kernel answered.
    public var errno: Errno
    /// What it means here, where the errno alone misleads.
    public var hint: String?

    public init(call: String, errno: Errno, hint: String? = nil) {
        self.call = call
        self.errno = errno
        self.hint = hint
    }

    /// - Parameter result: a negated errno, as every function of CSockets returns it.
    public init(_ call: String, _ result: some SignedInteger, hint: String? = nil) {
        self.init(call: call, errno: Errno(rawValue: CInt(-result)), hint: hint)
    }

    public var description: String {
        "\(call): \(errno)" + (hint.map { " (\($0))" } ?? "")
    }
}

/// Throws when a CSockets call returned a negated errno; gives back its value otherwise.
@discardableResult
@inline(__always)
func check<Value: SignedInteger>(_ call: @autoclosure () -> String, _ result: Value) throws(SocketError) -> Value {
    guard result >= 0 else { throw SocketError(call(), result) }
    return result
}

/// Why a name has no addresses, in the resolver's words.
public struct ResolutionError: Error, Hashable, Sendable, CustomStringConvertible {
    public var reason: String
    public init(reason: String) { self.reason = reason }
    public var description: String { reason }
}
