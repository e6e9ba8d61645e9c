public import Policy
public import TransparentSockets

/// How a listener treats those that speak HTTP. One object for all its sessions.
public final class HTTPSettings: Sendable {
    /// Whoever speaks something else has its connection carried as it is; else it is ended.
    let relaysOthers: Bool
    /// The upstream of origins that requests go to, whatever they name; its number in ``Routes/upstreams``. nil: connections are intercepted,
    /// and go where they were going.
    let origin: Int?
    /// In front of origins: networks whose clients are served; nil: all.
    private let clients: NetworkSet?
    /// Our name in Via; nil: none is added, and none looked for.
    let via: String?
    /// The service that each request is shown to before it goes on; nil: rules alone decide.
    let authorization: AuthorizationSettings?
    /// The services that requests and responses are shown to; nil: none are.
    let icap: ICAPSettings?
    let viaBytes: [UInt8]?

    public init(
        relaysOthers: Bool = true, origin: Int? = nil, clients: [IPNetwork]? = nil, via: String?,
        authorization: AuthorizationSettings? = nil, icap: ICAPSettings? = nil
    ) {
        self.icap = icap
        self.authorization = authorization
        self.clients = clients.map { NetworkSet($0) }
        self.origin = origin
        self.relaysOthers = relaysOthers
        self.via = via
        viaBytes = via.map { Array($0.utf8) }
    }

    func admits(_ client: IPAddress) -> Bool { clients?.contains(client) ?? true }
}
