internal import TransparentSockets

/// What open sessions need of the rules: all that the rules do beside intercepting.
///
/// A reload may take away the interception a session began under, so these needs add up over the life of the rules.
public struct SessionNeeds: Hashable, Sendable {
    /// More names than these that are only remembered (of dial-up links, say) stand for every interface.
    static let rememberedInterfaces = 32

    /// Whether sessions of other hosts are carried, in whatever mode.
    private(set) var gateway = false
    /// Where the clients' packets of `tproxy` sessions arrive; a trailing `*` matches any ending.
    private(set) var interfaces: [String] = []
    /// Replies to a preserved source arrive, from wherever the upstream is.
    private(set) var anywhere = false
    /// This host's own packets have to be marked (a redirect needs no mark).
    private(set) var local = false
    /// Redirected sessions of other hosts, and of this one.
    private(set) var translatedGateway = false
    private(set) var translatedLocal = false
    /// Redirected sessions with a preserved source.
    private(set) var untracked = false
    /// Of our listeners.
    private(set) var ports: Set<UInt16> = []

    public init() {}

    /// What sessions under these interceptions need, or flows.
    init(_ interceptions: [Interception], of transport: Interception.Transport = .tcp) {
        for interception in interceptions where interception.protocols.contains(transport) {
            let isGateway = !interception.interfaces.isEmpty
            gateway = gateway || isGateway
            anywhere = anywhere || (isGateway && interception.preservesSource)
            switch interception.mode {
            case .tproxy:
                interfaces += interception.interfaces
                local = local || interception.local
            case .redirect:
                translatedGateway = translatedGateway || isGateway
                translatedLocal = translatedLocal || interception.local
                untracked = untracked || interception.preservesSource
            }
            ports.formUnion(interception.listen.map(\.value.port))
        }
        interfaces = unique(interfaces)
    }

    /// These needs and those of sessions that began earlier.
    func adding(_ earlier: SessionNeeds) -> SessionNeeds {
        var earlier = earlier
        if earlier.interfaces.count(where: { !interfaces.contains($0) }) > Self.rememberedInterfaces { earlier.interfaces = ["*"] }
        return united(with: earlier)
    }

    func united(with earlier: SessionNeeds) -> SessionNeeds {
        var all = self
        all.interfaces += earlier.interfaces.filter { !interfaces.contains($0) }
        all.gateway = gateway || earlier.gateway
        all.anywhere = anywhere || earlier.anywhere
        all.local = local || earlier.local
        all.translatedGateway = translatedGateway || earlier.translatedGateway
        all.translatedLocal = translatedLocal || earlier.translatedLocal
        all.untracked = untracked || earlier.untracked
        all.ports.formUnion(earlier.ports)
        return all
    }

    /// Whether packets arriving on an interface get our mark.
    var divertsGateway: Bool { anywhere || !interfaces.isEmpty }

    /// Where packets of our sessions arrive.
    var divertedInterfaces: [String] { anywhere || interfaces.contains("*") ? ["*"] : interfaces }

    /// The interfaces of ``divertedInterfaces`` if they can be named one by one.
    var namedInterfaces: [String]? { anywhere || interfaces.contains { $0.hasSuffix("*") } ? nil : interfaces }
}
