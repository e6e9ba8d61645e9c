internal import Policy
public import Protocols
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
    /// What is changed of requests, and of responses.
    let requestChanges: FieldChanges
    let responseChanges: FieldChanges
    /// In front of origins: who must show a password; nil: nobody.
    let login: Service.Login?
    /// What clients are told that their passwords are for (RFC 9110 §11.5).
    let realm: String
    /// In front of origins: X-Forwarded-For, -Proto and -Host are written.
    let addsXForwarded: Bool
    /// ... peers that are believed what they say of those before them.
    private let trusted: NetworkSet

    /// - Parameter realm: printable ASCII.
    public init(
        relaysOthers: Bool = true, origin: Int? = nil, clients: [IPNetwork]? = nil, via: String?,
        authorization: AuthorizationSettings? = nil, icap: ICAPSettings? = nil, requestChanges: FieldChanges = FieldChanges(),
        responseChanges: FieldChanges = FieldChanges(),
        login: Service.Login? = nil, realm: String = "", addsXForwarded: Bool = false, trusted: [IPNetwork] = []
    ) {
        self.authorization = authorization
        self.icap = icap
        self.clients = clients.map { NetworkSet($0) }
        self.origin = origin
        self.relaysOthers = relaysOthers
        self.via = via
        viaBytes = via.map { Array($0.utf8) }
        // Who asks for parts could have a file that is scanned part by part.
        self.requestChanges = icap?.response == nil ? requestChanges : requestChanges.omitting(["Range", "If-Range"])
        self.responseChanges = responseChanges
        self.login = login
        self.realm = realm
        self.addsXForwarded = addsXForwarded
        self.trusted = NetworkSet(trusted)
    }

    /// More is done with requests, or responses, than rules do.
    var seesToRequests: Bool {
        authorization != nil || icap != nil || !requestChanges.isEmpty || !responseChanges.isEmpty
    }

    func admits(_ client: IPAddress) -> Bool { clients?.contains(client) ?? true }

    func trusts(_ peer: IPAddress) -> Bool { trusted.contains(peer) }
}
