public import Credentials
public import Policy
public import Protocols
public import TransparentSockets

/// Everything a person can set, read from TOML and found to make sense. Nothing here was checked against the running system.
public struct Configuration: Sendable, Equatable {
    /// How the bytes of a session move.
    public enum Relay: String, Sendable, CaseIterable {
        /// Copy while little moves, splice when much does.
        case adaptive
        case copy
        case splice
    }

    public struct Log: Sendable, Equatable {
        /// From the gravest to the least; a level includes those before it.
        public enum Level: String, Sendable, CaseIterable { case critical, error, warning, notice, info, debug }
        /// `combined` is that of web servers, for requests of HTTP alone; all else is `plain` then, and on standard error.
        public enum Format: String, Sendable, CaseIterable { case plain, logfmt, json, combined }

        public var level = Level.info
        public var format = Format.plain
        /// Path of the log file; `nil` is standard error.
        public var file: String?
        /// One line for each session that ended, and each request.
        public var access = true
        /// What stands behind the question mark of requests' targets and referrers.
        public var query = true

        public init() {}
    }

    /// Each at most 365 days.
    public struct Timeouts: Sendable, Equatable {
        /// Reaching the upstream, its handshake included. At least 1 ms.
        public var connect = Duration.seconds(10)
        /// A client's request, whole, where clients speak a proxy protocol with us. At least 1 ms.
        public var handshake = Duration.seconds(10)
        /// How long such a client may wait for its peer (SOCKS' BIND). At least 1 ms.
        public var bind = Duration.seconds(60)
        /// Waiting for a client's first bytes, when a name is needed. At least 1 ms.
        public var sniff = Duration.milliseconds(300)
        /// An open session without a byte either way. Zero: no limit.
        public var idle = Duration.seconds(3600)
        /// A UDP flow that was answered, without a datagram either way. At least 1 s.
        public var flow = Duration.seconds(180)
        /// A UDP flow that nobody has answered yet. At least 1 s.
        public var flowUnanswered = Duration.seconds(30)
        /// After one side has ended, without a byte. Zero: no limit.
        public var halfClose = Duration.seconds(60)
        /// How long sessions may stay open at a stop. Zero: they end at once.
        public var drain = Duration.seconds(60)

        public init() {}
    }

    public struct Firewall: Sendable, Equatable {
        /// What happens to traffic when no listener takes it.
        public enum OnDown: String, Sendable, CaseIterable { case direct, reject }

        /// The most significant bit that a mark window of two bits can start at is 30.
        public static let highestMark: UInt32 = 1 << 30
        /// `default`, `main` and `local` belong to the system.
        public static let reservedRouteTables: ClosedRange<UInt32> = 253...255

        /// Install, own and remove the rules.
        public var manage = true
        public var onDown = OnDown.direct
        /// Name of our nft table: 1…60 letters, digits and underscores.
        public var table = "clearway"
        /// Of our chains, as nft counts them: -400…300. `mangle` is -150.
        public var priority = -150
        /// The lowest bit of the two-bit window of marks; 0: choose a free one.
        public var mark: UInt32 = 0
        /// The table for intercepted packets; 0: choose a free one.
        public var routeTable: UInt32 = 0

        public init() {}
    }

    /// 1…1024; 0: one per CPU.
    public var workers = 0
    /// 1…10,000,000; 0: derived from the descriptor limit.
    public var maxSessions = 0
    /// UDP flows. 1…10,000,000; 0: derived.
    public var maxFlows = 0
    /// Datagrams moved by one call. 1…256; 1: one by one and without segmentation offload, to compare.
    public var batch = 256
    /// Bytes a second that clients of HTTP must send of their bodies and take of ours; 0: any.
    public var minBodyRate = 500
    public var relay = Relay.adaptive
    public var log = Log()
    public var timeouts = Timeouts()
    public var firewall = Firewall()
    /// At least one; names and addresses are unique.
    public var listeners = [Listener()]
    /// Names are unique.
    public var upstreams: [Upstream] = []
    /// Services that listeners show requests and responses to. Names are unique.
    public var icap: [ICAPService] = []
    /// The first that matches decides; their actions count ``upstreams``.
    public var rules: [Rule] = []
    /// Where counters are served over HTTP. Set by the programs that we stand in for; there is no key for it.
    public var metrics: [ListenAddress] = []
    /// Where in the file things stand. Takes no part in comparisons.
    public var positions = SourceMap()

    /// An empty file: this host's own connections through one `tproxy` listener, everything direct.
    public static let embeddedDefault = Configuration()

    private init() {}

    /// What reads the files that a configuration names: the bytes of a file by its path.
    public typealias FileReader = (_ path: String) throws(UnreadableFile) -> [UInt8]

    /// - Parameters:
    ///   - text: the whole file, at most 4 MiB.
    ///   - file: what error messages call it; paths in it are relative to its directory.
    ///   - files: called for the files that the text names, once for each list. Without it, parsing reads no file, and naming one is
    ///     an error.
    /// - Throws: every error in the text and in its lists, each with its position; one only when the syntax is not TOML.
    public init(
        parsing text: String, file: String,
        files: @escaping FileReader = { _ throws(UnreadableFile) in throw UnreadableFile("no files are read here") }
    ) throws(ConfigurationErrors) {
        let collector = DiagnosticCollector(source: SourceText(text), file: file)
        let root = try Document.parse(collector)
        self.init()
        positions = SourceMap(file: file)
        read(root, NamedFiles(besides: file, files, collector), collector)
        try collector.throwIfAny()
    }
}

/// One bound address or more, with what is intercepted for it.
public struct Listener: Sendable, Equatable {
    /// How connections come: handed over by the kernel, or from clients that speak a proxy protocol with us.
    public enum Mode: String, Sendable, CaseIterable {
        case tproxy, redirect
        case socks, http
        /// Both on one port, told apart by the first byte.
        case socksAndHTTP = "socks+http"

        /// The kernel hands over what was going elsewhere.
        public var intercepts: Bool { self == .tproxy || self == .redirect }
    }

    /// Who may answer a client's endpoint over UDP (RFC 4787 §5).
    public enum Filtering: String, Sendable, CaseIterable {
        /// Addresses that the client has sent to, from any port.
        case addressDependent = "address-dependent"
        /// Anybody.
        case endpointIndependent = "endpoint-independent"
    }

    /// A server of HTTP.
    public struct Origin: Sendable, Equatable {
        public var host: Upstream.Member.Host
        public var port: UInt16
    }

    /// A service that speaks HTTP, and what is asked of it.
    public struct Service: Sendable, Equatable {
        public var host: Upstream.Member.Host
        public var port: UInt16
        /// With its query; begins with `/`.
        public var path: String
    }

    /// A service that each request is shown to before it goes on.
    public struct AuthRequest: Sendable, Equatable {
        public var service: Service
        /// At least 1 ms.
        public var timeout = Duration.seconds(3)
        /// How long a verdict holds for the same question. Zero: for none.
        public var cache = Duration.zero
        /// Fields of the request that the service is told, and of its answer that the server is told.
        public var key: [String] = []
        public var pass: [String] = []
    }

    /// What becomes of a connection in which something else is spoken than HTTP.
    public enum OnOther: String, Sendable, CaseIterable {
        /// It is carried as it is.
        case relay
        case reject
    }

    /// Which part of the client's address a direct destination sees.
    public enum PreserveSource: String, Sendable, CaseIterable {
        case off = "false"
        case address
        case addressAndPort = "address+port"
    }

    /// 1…64 letters, digits, `.`, `_` and `-`.
    public var name = "tproxy-1081"
    public var mode = Mode.tproxy
    /// At least one; ports are not 0.
    public var listen = [ListenAddress(SocketAddress(.v6(IPv6Address(high: 0, low: 0)), port: 1081))]
    /// At least one. What is intercepted; where SOCKS is served, `.udp` means that UDP ASSOCIATE is.
    public var protocols: Set<TransportProtocol> = [.tcp]
    public var filtering = Filtering.addressDependent
    /// Interception of what arrives here. A name that ends in `*` means every interface that begins so, as in nft.
    public var interfaces: [String] = []
    /// Interception of what this host itself sends.
    public var local = true
    /// Destination ports intercepted: ascending, apart from each other by at least one port.
    public var ports: [ClosedRange<UInt16>] = [1...65535]
    /// Only these networks; empty: all.
    public var destinations: [IPNetwork] = []
    /// Never these networks, beside those that are always excluded.
    public var exclude: [IPNetwork] = []
    /// Only clients in these networks; empty: all.
    public var clients: [IPNetwork] = []
    public var preserveSource = PreserveSource.off
    /// Requests of clients that speak HTTP are understood, one by one.
    public var http = false
    /// What becomes of clients that speak something else there.
    public var onOther = OnOther.relay
    /// The servers that such a listener stands in front of; empty: none. Only with ``Mode/http``.
    public var origins: [Origin] = []
    public var balancing = Upstream.Balancing.failover
    /// How often each origin is connected to, whether requests need it or not. Zero: never.
    public var check = Duration.zero
    /// Requests and responses say that they have come by here (HTTP's Via).
    public var via = true
    /// What is changed of the header fields of requests and responses that are passed on. Only where ``understandsHTTP``.
    public var requestChanges = FieldChanges()
    public var responseChanges = FieldChanges()
    /// In front of origins: whether the fields that came before Forwarded are written as well, and peers that are believed what they say there
    /// of those before them.
    public var addsXForwarded = false
    public var trusted: [IPNetwork] = []
    /// ... what passwords are for, in printable ASCII; nil: the listener's name.
    public var realm: String?
    /// Only where requests are understood. nil: rules alone decide.
    public var authRequest: AuthRequest?
    /// Which of ``Configuration/icap`` requests and responses are shown to, only where they are understood; nil: none.
    public var icap: Int?
    /// Who must show a password; nil: nobody.
    public var users: UserTable?
    /// Ports that such clients may ask for; nil: over SOCKS all; over HTTP 443 for tunnels, 80 and all above 1023 for pages.
    public var servedPorts: [ClosedRange<UInt16>]?
    /// Where clients that say themselves where they want to go may go, beside what is public.
    public var reach = Reach()
    /// Whether such clients may wait for a peer to connect to them (SOCKS' BIND); there is no key for it.
    public var servesBind = true

    /// The listener of the embedded default.
    public init() {}

    /// Requests are judged one by one.
    public var understandsHTTP: Bool { http || mode == .http || mode == .socksAndHTTP }
}

/// A service of ICAP (RFC 3507), or two of one server.
public struct ICAPService: Sendable, Equatable {
    /// What becomes of messages that it cannot be shown.
    public enum OnFailure: String, Sendable, CaseIterable { case reject, pass }

    /// 1…64 letters, digits, `.`, `_` and `-`.
    public var name: String
    /// Where requests go, and where responses do; one at least.
    public var request: Listener.Service?
    public var response: Listener.Service?
    /// At least 1 ms.
    public var timeout = Duration.seconds(10)
    public var onFailure = OnFailure.reject
    /// Of each worker, to each of the two. 1…1024.
    public var maxConnections = 32
}

/// Where in the file things stand, for findings that only the running system can make.
public struct SourceMap: Sendable {
    struct ListenerPositions: Sendable {
        var table: SourcePosition
        var listen: [SourcePosition] = []
        var interfaces: [SourcePosition] = []
    }

    var file = "embedded default"
    var firewall: [String: SourcePosition] = [:]
    var listeners: [ListenerPositions] = []
    var rules: [SourcePosition] = []
    /// List files without entries: where they are named, and by which rule.
    public internal(set) var emptyLists: [(position: SourcePosition, file: String, rule: Int)] = []

    private var start: SourcePosition { SourcePosition(file: file, line: 1, column: 1) }

    /// The value of a key of `[firewall]`; the start of the file when it has none.
    public func firewall(_ key: String) -> SourcePosition { firewall[key] ?? start }

    /// The table of a rule, by its index in ``Configuration/rules``.
    public func rule(_ index: Int) -> SourcePosition { rules.indices.contains(index) ? rules[index] : start }

    /// The table of a listener, by its index in ``Configuration/listeners``. What the file does not spell out is at its
    /// nearest enclosing table, or at the start of the file.
    public func listener(_ index: Int) -> SourcePosition {
        listeners.indices.contains(index) ? listeners[index].table : start
    }

    /// An entry of a listener's `interfaces`.
    public func interface(_ listener: Int, _ index: Int) -> SourcePosition { entry(\.interfaces, listener, index) }

    /// An entry of a listener's `listen`.
    public func listen(_ listener: Int, _ index: Int) -> SourcePosition { entry(\.listen, listener, index) }

    private func entry(_ list: KeyPath<ListenerPositions, [SourcePosition]>, _ listener: Int, _ index: Int) -> SourcePosition {
        guard listeners.indices.contains(listener), listeners[listener][keyPath: list].indices.contains(index) else {
            return self.listener(listener)
        }
        return listeners[listener][keyPath: list][index]
    }
}

extension SourceMap: Equatable {
    /// Always: where something was written is no part of what it says.
    public static func == (left: SourceMap, right: SourceMap) -> Bool { true }
}
