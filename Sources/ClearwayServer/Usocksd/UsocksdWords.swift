internal import DataPlane
internal import Protocols
internal import TransparentSockets

// Failures in the words that usocksd had for them, by which people search its logs.

extension SessionRecord {
    /// By a rule, a list, or because nobody may go there.
    var isDenied: Bool { ending == .proxyRejected || ending == .proxySelf }

    /// The message of a session that did not reach its destination.
    var usocksdFailure: String {
        if isDenied { return "ruleset mismatch" }
        switch socks?.stage ?? .preamble {
        case .preamble: return "failed to read preamble"
        case .foreign: return "unknown SOCKS version"
        case .methods: return "failed to read auth methods"
        case .noMethod: return "no acceptable auth methods"
        case .credentials: return "failed to read username/password"
        case .credentialsVersion: return "invalid auth version"
        case .credentialsRefused: return "authentication failure"
        case .request where socks?.version == .four: return "failed to read port/ip"
        case .target where socks?.version == .four: return "failed to read hostname"
        case .request, .target: return "failed to read address"
        case .requestVersion: return "request is not SOCKS5"
        case .command: return "command not supported"
        case .addressType: return "unknown address type"
        case .whole:
            return ending == .clientGone || ending == .clientReset ? "failed to write response" : "dial to destination failed"
        }
    }

    /// The field `error` of such a session; nil: there is nothing to say beside the message.
    var usocksdError: String? {
        let dialled = requested == nil ? "" : "dial tcp \(destination.map(\.description) ?? ""): "
        switch (ending, cause) {
        case (.clientSlow, _): return "i/o timeout"
        case (.clientGone, _): return "EOF"
        case (.upstreamTimeout, _): return dialled + "i/o timeout"
        case (.upstreamUnresolved, .denied(let reason)): return "lookup \(name ?? ""): \(reason)"
        case (_, .call(let error)): return (error.call.hasPrefix("connect") ? dialled : "") + goText(error)
        case (_, .denied(let reason)), (_, .other(let reason)): return reason
        case (.proxyRejected, _): return nil
        default: return ending.rawValue
        }
    }
}
