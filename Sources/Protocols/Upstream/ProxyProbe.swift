/// Asks a proxy whether it works, as far as that goes without a destination. No sockets: whoever has one gives the bytes.
///
/// SOCKS5: greeting, and authentication where there are credentials. HTTP: `OPTIONS *`, which any proxy answers with some status,
/// of which only 407 says that it will not work. SOCKS4a has nothing of the kind: that it accepts connections must do.
public struct ProxyProbe: Sendable {
    private enum State { case methodChoice, authenticationAnswer, status, nothing }

    /// To be sent as soon as the proxy is connected; empty: that was all there is to ask.
    public let opening: [UInt8]
    private let credentials: ProxyCredentials?
    private var state: State

    public init(_ kind: ProxyHandshake.Kind, _ credentials: ProxyCredentials?) {
        self.credentials = credentials
        switch kind {
        case .socks5:
            opening = SOCKS5Client.greeting(offersCredentials: credentials != nil)
            state = .methodChoice
        case .http:
            opening = ConnectClient.options(credentials)
            state = .status
        case .socks4a:
            opening = []
            state = .nothing
        }
    }

    public enum Step: Equatable, Sendable {
        /// The answer is not whole yet.
        case needsMore
        /// Send this, and look on.
        case send([UInt8])
        case works
        case fails(String)
    }

    /// Takes in what has come from the proxy.
    ///
    /// - Returns: how many of the bytes were understood, and what to do.
    public mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: Step) {
        switch state {
        case .nothing: return (0, .works)
        case .methodChoice:
            switch SOCKS5Client.methodChoice(bytes, offersCredentials: credentials != nil) {
            case .needsMore: return (0, .needsMore)
            case .invalid(let why): return (0, .fails(why))
            case .refused(let why): return (0, .fails("\(why)"))
            case .none: return (2, .works)
            case .credentials:
                guard let credentials else { return (0, .fails("it wants credentials")) }
                state = .authenticationAnswer
                return (2, .send(SOCKS5Client.authentication(credentials)))
            }
        case .authenticationAnswer: return (0, Self.step(SOCKS5Client.authenticationAnswer(bytes)))
        case .status:
            let step = Self.step(ConnectClient.answer(bytes))
            return (0, step)
        }
    }

    private static func step(_ answer: ProxyAnswer) -> Step {
        switch answer {
        case .needsMore: .needsMore
        case .granted: .works
        case .refused(.http(407)): .fails("HTTP status 407")
        case .refused(.http): .works
        case .refused(let why): .fails("\(why)")
        case .invalid(let why): .fails(why)
        }
    }
}
