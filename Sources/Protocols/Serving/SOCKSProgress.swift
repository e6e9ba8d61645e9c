/// How far a client of SOCKS has come, for whoever counts and explains.
public struct SOCKSProgress: Hashable, Sendable {
    /// What the client was saying last, or what was wrong with it.
    public enum Stage: Hashable, Sendable {
        /// Nothing has come.
        case preamble
        /// It speaks no version of SOCKS.
        case foreign
        case methods
        /// Of the methods that it offers, none will do.
        case noMethod
        case credentials
        /// Its credentials are in a version that does not exist.
        case credentialsVersion
        case credentialsRefused
        case request
        /// Its request is in another version than its greeting.
        case requestVersion
        /// It wants a command that is not served.
        case command
        case addressType
        /// What it names is no host, or the port is none.
        case target
        /// Its request was read.
        case whole
    }
    public enum Method: Hashable, Sendable { case none, password }
    public enum AddressType: Hashable, Sendable, CaseIterable { case ipv4, ipv6, name, unknown }

    public var stage = Stage.preamble
    /// nil: neither.
    public private(set) var version: SOCKSServer.Version?
    /// Of SOCKS5.
    public private(set) var method: Method?
    /// Of SOCKS5.
    public private(set) var addressType: AddressType?

    public init() {}

    /// What has come, in which state, and what became of it.
    mutating func note(_ bytes: Span<UInt8>, _ state: SOCKSServer.State, _ message: SOCKSServer.Message) {
        guard bytes.count > 0 else { return }
        let isRefused =
            switch message {
            case .refused, .broken: true
            case .needsMore, .taken: false
            }
        switch state {
        case .opening: noteOpening(bytes, message, isRefused)
        case .credentials:
            stage = !isRefused ? .credentials : bytes[0] == 1 ? .credentialsRefused : .credentialsVersion
        case .request: noteRequest(bytes, message, isRefused)
        case .verdict, .over: break
        }
    }

    private mutating func noteOpening(_ bytes: Span<UInt8>, _ message: SOCKSServer.Message, _ isRefused: Bool) {
        switch bytes[0] {
        case 5:
            version = .five
            stage = isRefused ? .noMethod : .methods
            guard case .taken(_, _, let next) = message else { return }
            if case .credentials = next { method = .password } else { method = Method.none }
        case 4:
            version = .four
            stage = .request
            if case .taken = message { stage = .whole }
            if isRefused { stage = bytes.count > 1 && !(1...2).contains(bytes[1]) ? .command : .target }
        default: stage = .foreign
        }
    }

    private mutating func noteRequest(_ bytes: Span<UInt8>, _ message: SOCKSServer.Message, _ isRefused: Bool) {
        stage = .request
        if case .taken = message { stage = .whole }
        if bytes.count > 3, bytes[0] == 5 {
            addressType =
                switch bytes[3] {
                case 1: .ipv4
                case 3: .name
                case 4: .ipv6
                default: .unknown
                }
        }
        guard isRefused else { return }
        if bytes[0] != 5 {
            stage = .requestVersion
        } else if bytes.count > 1, !(1...3).contains(bytes[1]) {
            stage = .command
        } else {
            stage = addressType == .unknown ? .addressType : .target
        }
    }
}
