/// A proxy's handshake, step by step: what to send, and what its answers mean. No sockets: whoever has one gives the bytes.
public struct ProxyHandshake: Sendable {
    public enum Kind: String, Sendable, CaseIterable { case socks5, socks4a, http }

    private enum State { case methodChoice, authenticationAnswer, answer }

    /// To be sent as soon as the proxy is connected.
    public let opening: [UInt8]
    private let kind: Kind
    private let credentials: ProxyCredentials?
    private let request: [UInt8]
    private var state: State

    /// - Parameter credentials: for SOCKS4a only the user name counts.
    /// - Returns: nil when this kind of proxy cannot be asked for that target: SOCKS4a knows no IPv6 address.
    public init?(_ kind: Kind, _ target: ProxyTarget, _ credentials: ProxyCredentials?) {
        self.kind = kind
        self.credentials = credentials
        switch kind {
        case .socks5:
            request = SOCKS5Client.request(target)
            let greeting = SOCKS5Client.greeting(offersCredentials: credentials != nil)
            // One method offered is the one chosen, or none: the request need not wait for that.
            opening = credentials == nil ? greeting + request : greeting
            state = .methodChoice
        case .socks4a:
            guard let request = SOCKS4Client.request(target, user: credentials?.user ?? "") else { return nil }
            self.request = request
            opening = request
            state = .answer
        case .http:
            request = ConnectClient.request(target, credentials)
            opening = request
            state = .answer
        }
    }

    /// Bytes of an answer that may have to be looked at together.
    public var longestAnswer: Int { kind == .http ? ConnectClient.longestAnswer : SOCKS5Client.longestAnswer }

    public enum Step: Equatable, Sendable {
        /// The answer is not whole yet.
        case needsMore
        /// Send this, and look on.
        case send([UInt8])
        /// What follows is the upstream's.
        case done
        case refused(ProxyRefusal)
        case invalid(String)
    }

    /// Takes in what has come from the proxy.
    ///
    /// - Returns: how many of the bytes belong to the handshake so far, and what to do.
    public mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: Step) {
        var length = 0
        while true {
            let rest = bytes.extracting(length..<bytes.count)
            switch state {
            case .methodChoice:
                switch SOCKS5Client.methodChoice(rest, offersCredentials: credentials != nil) {
                case .needsMore: return (length, .needsMore)
                case .invalid(let why): return (length, .invalid(why))
                case .refused(let why): return (length, .refused(why))
                case .none:
                    state = .answer
                    length += 2
                    if credentials != nil { return (length, .send(request)) }
                case .credentials:
                    guard let credentials else { return (length, .refused(.noAcceptableMethod)) }
                    state = .authenticationAnswer
                    return (length + 2, .send(SOCKS5Client.authentication(credentials) + request))
                }
            case .authenticationAnswer:
                switch SOCKS5Client.authenticationAnswer(rest) {
                case .granted(let more):
                    state = .answer
                    length += more
                case let other: return (length, Self.step(other))
                }
            case .answer:
                let answer =
                    switch kind {
                    case .socks5: SOCKS5Client.answer(rest)
                    case .socks4a: SOCKS4Client.answer(rest)
                    case .http: ConnectClient.answer(rest)
                    }
                if case .granted(let more) = answer { return (length + more, .done) }
                return (length, Self.step(answer))
            }
        }
    }

    private static func step(_ answer: ProxyAnswer) -> Step {
        switch answer {
        case .needsMore: .needsMore
        case .granted: .done
        case .refused(let why): .refused(why)
        case .invalid(let why): .invalid(why)
        }
    }
}
