/// The single reason a session stopped: which side, and why. Its code stands in logs and metrics, and does not change.
///
/// | code | the client saw | what happened |
/// | --- | --- | --- |
/// | `client-fin` | FIN | both directions ended in order, the client's first |
/// | `upstream-fin` | FIN | both directions ended in order, the upstream's first |
/// | `client-reset` | | the client reset the session; the upstream got a reset |
/// | `upstream-reset` | RST | the upstream reset the session |
/// | `client-gone` | | the client left before the upstream was reached |
/// | `client-protocol` | what its protocol says, or RST | the client broke SOCKS or HTTP, or spoke something else |
/// | `client-unauthorized` | the same | the client showed no credentials, or wrong ones |
/// | `client-slow` | the same | the client's request was not whole within `timeouts.handshake`, its bodies moved below `min_body_rate`, or it took no interim response within `timeouts.idle` |
/// | `upstream-refused` | RST | nobody listens at the original destination |
/// | `upstream-unreachable` | RST | no route to the original destination, or an ICMP answer that says so |
/// | `upstream-timeout` | RST | no answer within `timeouts.connect`, or to what was sent later (TCP gave up); no peer within `timeouts.bind` |
/// | `upstream-unresolved` | RST | the name that the client asked for has no address, as far as our resolver knows |
/// | `upstream-rejected` | RST | the proxy said no; an event says how |
/// | `upstream-protocol` | RST | what answered is no proxy of the kind configured; an event says why |
/// | `client-timeout` | | the client stopped acknowledging, or answered no keep-alive probe |
/// | `proxy-rejected` | RST | a rule said so |
/// | `proxy-service` | 503, or RST | a service that is asked about requests had no answer, or none that makes sense; an event says why |
/// | `proxy-idle` | RST | `timeouts.idle` without a byte either way |
/// | `proxy-half-close` | RST | `timeouts.half_close` without a byte after one side had ended |
/// | `proxy-drain` | RST | still open when `timeouts.drain` was over |
/// | `flow-idle` | | a UDP flow that was answered had no datagram for `timeouts.flow`, or a question its answer |
/// | `flow-unanswered` | | a UDP flow had no answer and no further datagram for `timeouts.flow_unanswered` |
/// | `flow-evicted` | | a UDP flow made room for another: `max_flows` were open, or half of them by one client |
/// | `proxy-self` | RST | the original destination is this listener itself: nothing was intercepted |
/// | `proxy-loop` | RST | our own upstream connection came back to us: a rule does not skip our mark |
/// | `proxy-no-destination` | RST | the kernel does not know where the connection was going |
/// | `proxy-limit` | RST | no descriptor, port or memory left to reach the upstream |
/// | `proxy-error` | RST | a call failed in a way that none of the above describes; an event says which |
public enum Ending: String, Sendable, CaseIterable {
    case clientFIN = "client-fin"
    case upstreamFIN = "upstream-fin"
    case clientReset = "client-reset"
    case upstreamReset = "upstream-reset"
    case clientGone = "client-gone"
    case clientProtocol = "client-protocol"
    case clientUnauthorized = "client-unauthorized"
    case clientSlow = "client-slow"
    case upstreamRefused = "upstream-refused"
    case upstreamUnreachable = "upstream-unreachable"
    case upstreamTimeout = "upstream-timeout"
    case upstreamUnresolved = "upstream-unresolved"
    case upstreamRejected = "upstream-rejected"
    case upstreamProtocol = "upstream-protocol"
    case clientTimeout = "client-timeout"
    case proxyRejected = "proxy-rejected"
    case proxyService = "proxy-service"
    case proxyIdle = "proxy-idle"
    case proxyHalfClose = "proxy-half-close"
    case proxyDrain = "proxy-drain"
    case flowIdle = "flow-idle"
    case flowUnanswered = "flow-unanswered"
    case flowEvicted = "flow-evicted"
    case proxySelf = "proxy-self"
    case proxyLoop = "proxy-loop"
    case proxyNoDestination = "proxy-no-destination"
    case proxyLimit = "proxy-limit"
    case proxyError = "proxy-error"

    /// Both directions ended with FIN and every byte was handed on; anything else closes with RST, both ways.
    public var isOrderly: Bool { self == .clientFIN || self == .upstreamFIN }

    /// Nobody is left to be told anything.
    var isClientGone: Bool {
        switch self {
        case .clientGone, .clientReset, .clientTimeout: true
        default: false
        }
    }

    /// No upstream's doing: another one would not help.
    var isOurs: Bool {
        switch self {
        case .clientGone, .clientReset, .clientTimeout, .proxyDrain, .proxyLimit, .proxyError: true
        default: false
        }
    }
}
