internal import Configuration
internal import DataPlane
internal import SystemPackage
internal import TransparentSockets

// Failures in the words that Go has for them.

/// `connect: connection refused`.
func goText(_ error: SocketError) -> String {
    // Of the call only its name; the address stands before it already. In Go, `recv` is a read and `send` a write.
    let call = error.call.prefix { $0.isLetter }
    let name = call == "recv" ? "read" : call == "send" ? "write" : call
    return "\(name): \(errorText(error.errno.rawValue).lowercased())"
}

extension SessionRecord {
    /// The field `error` of a session that did not end in order.
    var goEnding: String {
        switch ending {
        case .clientReset: "client: connection reset by peer"
        case .upstreamReset: "upstream: connection reset by peer"
        case .clientTimeout: "client: connection timed out"
        case .upstreamTimeout: "upstream: connection timed out"
        case .proxyIdle, .proxyHalfClose: "i/o timeout"
        case .proxyDrain: "timeout waiting for shutdown"
        default: ending.rawValue
        }
    }
}

extension Ending {
    /// How grave it is to the log of a program that we stand in for. What an operator cannot change is no error: clients come and go.
    var dropInLevel: Configuration.Log.Level {
        switch self {
        case .clientFIN, .upstreamFIN, .clientReset, .clientGone, .clientTimeout, .proxyIdle, .proxyHalfClose, .proxyDrain: .info
        default: .error
        }
    }
}
