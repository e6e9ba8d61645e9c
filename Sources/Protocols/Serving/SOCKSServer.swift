/// The server's side of SOCKS5 (RFC 1928), with user name and password (RFC 1929) or nothing, and of SOCKS4 and 4a, as the first
/// byte tells.
///
/// - GSSAPI, which RFC 1928 §3 asks of every server, is not offered: hardly any client or server has it.
/// - Where no credentials are wanted, a client that offers nothing but to show some may do so, and they are ignored: refusing it
///   would protect nobody.
/// - The reserved octet of a request is ignored.
/// - SOCKS4's user id proves nothing. It is read and forgotten, and where credentials are wanted there is no SOCKS4.
public struct SOCKSServer: ServingHandshake {
    public enum Version: Sendable { case four, five }

    enum State { case opening, credentials, verdict, request, over }

    /// SOCKS4a: eight bytes, then user id and host of 255 octets, each with the NUL behind it. What SOCKS5 has is shorter: greeting
    /// 2 + 255, credentials 3 + 510, request 262.
    public static let longestPart = 8 + 256 + 256

    /// What the client speaks; 5 until that is known.
    var version: Version { progress.version ?? .five }
    public private(set) var progress = SOCKSProgress()
    private let wantsCredentials: Bool
    private let servesSOCKS4: Bool
    private var state = State.opening

    /// - Parameters:
    ///   - wantsCredentials: nobody gets anything without them.
    ///   - servesSOCKS4: SOCKS4 and 4a too, unless credentials are wanted.
    public init(wantsCredentials: Bool, servesSOCKS4: Bool = true) {
        self.wantsCredentials = wantsCredentials
        self.servesSOCKS4 = servesSOCKS4 && !wantsCredentials
    }

    public mutating func advance(_ bytes: Span<UInt8>) -> (length: Int, step: ServingStep) {
        let before = state
        let message: Message =
            switch state {
            case .opening: opening(bytes)
            case .credentials: Self.credentials(bytes, areWanted: wantsCredentials)
            case .verdict: .needsMore
            case .request: Self.socks5Request(bytes)
            case .over: .broken([], .invalid("the handshake is over"))
            }
        progress.note(bytes, before, message)
        switch message {
        case .needsMore: return (0, .needsMore)
        case .taken(let length, let step, let next):
            state = next
            return (length, step)
        case .refused(let outcome, let why): return (0, reject(answer(outcome), .invalid(why)))
        case .broken(let answer, let fault): return (0, reject(answer, fault))
        }
    }

    private mutating func opening(_ bytes: Span<UInt8>) -> Message {
        guard bytes.count > 0 else { return .needsMore }
        switch bytes[0] {
        case 5: return Self.greeting(bytes, wantsCredentials: wantsCredentials)
        case 4:
            return servesSOCKS4 ? Self.socks4Request(bytes) : .refused(.generalFailure, "SOCKS4 is not served here")
        default: return .broken([], .foreign(ServedProtocol.guess(bytes[0])))
        }
    }

    public mutating func judge(accepted: Bool) -> ServingStep {
        guard case .verdict = state, accepted else {
            progress.stage = .credentialsRefused
            return reject([1, 1], .credentials("user name or password refused"))
        }
        state = .request
        return .send([1, 0])
    }

    /// SOCKS has no words for it.
    public var lateAnswer: [UInt8] { [] }

    private mutating func reject(_ answer: [UInt8], _ fault: ServingFault) -> ServingStep {
        state = .over
        return .reject(answer: answer, fault)
    }

    /// What one message of the client came to.
    enum Message {
        case needsMore
        case taken(length: Int, ServingStep, next: State)
        case refused(ServingOutcome, String)
        case broken([UInt8], ServingFault)
    }

    // What both versions have in common.

    static let commands: [Int: ServedRequest.Command] = [1: .connect, 2: .bind, 3: .udpAssociate]
    static let noHost = "neither a host name nor an address"

    static func request(_ command: ServedRequest.Command, _ host: ProxyTarget.Host, _ port: Int, length: Int) -> Message {
        guard port > 0 || command != .connect else { return .refused(.generalFailure, "port 0") }
        let target = ProxyTarget(host, port: UInt16(truncatingIfNeeded: port))
        return .taken(length: length, .request(ServedRequest(command, target)), next: .over)
    }
}
