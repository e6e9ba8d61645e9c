internal import Protocols

/// What a check asks a proxy on its way.
enum Question {
    /// To connect to the next one.
    case passage(ProxyHandshake)
    /// Whether it works.
    case health(ProxyProbe)

    var opening: [UInt8] {
        switch self {
        case .passage(let handshake): handshake.opening
        case .health(let probe): probe.opening
        }
    }

    enum Step {
        /// The answer is not whole yet.
        case needsMore
        /// Send this, and look on.
        case send([UInt8])
        case granted
        case refused(ProxyRefusal)
        case fails(String)
    }

    /// Takes what it understands out of what has come.
    mutating func advance(_ received: inout [UInt8]) -> Step {
        switch self {
        case .passage(var handshake):
            let (length, step) = handshake.advance(received.span)
            self = .passage(handshake)
            received.removeFirst(length)
            return switch step {
            case .needsMore: .needsMore
            case .send(let bytes): .send(bytes)
            case .done: .granted
            case .refused(let why): .refused(why)
            case .invalid(let why): .fails(why)
            }
        case .health(var probe):
            let (length, step) = probe.advance(received.span)
            self = .health(probe)
            received.removeFirst(length)
            return switch step {
            case .needsMore: .needsMore
            case .send(let bytes): .send(bytes)
            case .works: .granted
            case .fails(let why): .fails(why)
            }
        }
    }
}
