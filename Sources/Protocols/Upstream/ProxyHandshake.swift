public import TransparentSockets

/// A proxy's handshake, step by step: what to send, and what its answers mean. No sockets: whoever has one gives the bytes.
public struct ProxyHandshake: Sendable {
    public enum Kind: String, Sendable, CaseIterable { case socks5, socks4a, http }

    public enum Command: Sendable {
        case connect
        /// SOCKS5 alone knows it.
        case udpAssociate
    }

    private enum State { case methodChoice, authenticationAnswer, answer }

    /// To be sent as soon as the proxy is connected.
    public let opening: [UInt8]
    private let kind: Kind
    private let credentials: ProxyCredentials?
    private let request: [UInt8]
    /// The request went out with the greeting.
    public let isPipelined: Bool
    private var state: State
    /// Where the proxy listens for us, as it says; nil: it has not said so, or by a name.
    public private(set) var bound: SocketAddress?

    /// - Parameters:
    ///   - credentials: for SOCKS4a only the user name counts.
    ///   - agent: what HTTP's request says we are.
    ///   - isPipelined: send SOCKS5's request together with the greeting, where there are no credentials. Whoever reads both with one
    ///     call must not forget the request, as servers in wide use do.
    /// - Returns: nil when this kind of proxy cannot be asked for that: SOCKS4a knows no IPv6 address, and only SOCKS5 UDP.
    public init?(
        _ kind: Kind, _ target: ProxyTarget, _ credentials: ProxyCredentials?, agent: String? = nil, command: Command = .connect,
        isPipelined: Bool = false
    ) {
        guard command == .connect || kind == .socks5 else { return nil }
        self.kind = kind
        self.credentials = credentials
        // Which of two methods the server chooses decides what comes next.
        let isPipelined = isPipelined && kind == .socks5 && credentials == nil
        self.isPipelined = isPipelined
        switch kind {
        case .socks5:
            request = SOCKS5Client.request(command, target)
            opening = SOCKS5Client.greeting(offersCredentials: credentials != nil) + (isPipelined ? request : [])
            state = .methodChoice
        case .socks4a:
            guard let request = SOCKS4Client.request(target, user: credentials?.user ?? "") else { return nil }
            self.request = request
            opening = request
            state = .answer
        case .http:
            request = ConnectClient.request(target, credentials, agent: agent)
            opening = request
            state = .answer
        }
    }

    /// The proxy has been told where to connect to: what takes time from now on may be the destination's.
    public var isAsked: Bool { state == .answer }

    /// ... and it has said something before, so that it is known to be such a proxy.
    public var hasAnswered: Bool { isAsked && kind == .socks5 }

    /// Bytes of an answer that may have to be looked at together.
    public var longestAnswer: Int {
        kind == .http ? ConnectClient.longestAnswer : SOCKS5Client.longestAnswer + (isPipelined ? 2 : 0)
    }

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
        switch state {
        case .methodChoice:
            switch SOCKS5Client.methodChoice(bytes, offersCredentials: credentials != nil) {
            case .needsMore: return (0, .needsMore)
            case .invalid(let why): return (0, .invalid(why))
            case .refused(let why): return (0, .refused(why))
            case .none:
                state = .answer
                guard isPipelined else { return (2, .send(request)) }
                let (length, step) = answer(bytes.extracting(2..<bytes.count))
                return (2 + length, step)
            case .credentials:
                guard let credentials else { return (0, .refused(.noAcceptableMethod)) }
                state = .authenticationAnswer
                return (2, .send(SOCKS5Client.authentication(credentials)))
            }
        case .authenticationAnswer:
            switch SOCKS5Client.authenticationAnswer(bytes) {
            case .granted(let more):
                state = .answer
                return (more, .send(request))
            case let other: return (0, Self.step(other))
            }
        case .answer: return answer(bytes)
        }
    }

    /// What the proxy says to the request.
    private mutating func answer(_ bytes: Span<UInt8>) -> (length: Int, step: Step) {
        let answer =
            switch kind {
            case .socks5: SOCKS5Client.answer(bytes)
            case .socks4a: SOCKS4Client.answer(bytes)
            case .http: ConnectClient.answer(bytes)
            }
        if case .granted(let more) = answer {
            if kind == .socks5 { bound = SOCKS5Client.bound(bytes) }
            return (more, .done)
        }
        return (0, Self.step(answer))
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
