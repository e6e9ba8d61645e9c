public import TransparentSockets

/// A two-bit window of the packet mark. The bits outside it belong to others and are never changed.
public struct Marks: Hashable, Sendable {
    /// Position of the window's lower bit: 0…30.
    public let shift: Int

    /// - Precondition: `shift` is 0…30.
    public init(shift: Int) {
        precondition((0...30).contains(shift))
        self.shift = shift
    }

    /// The window whose lowest bit is `mark`; `nil` when that is not a single bit with another above it.
    public init?(lowestBit mark: UInt32) {
        guard mark.nonzeroBitCount == 1, mark.trailingZeroBitCount <= 30 else { return nil }
        self.init(shift: mark.trailingZeroBitCount)
    }

    /// Both bits of the window.
    public var mask: UInt32 { 3 << UInt32(shift) }
    /// On the packets of our own sockets: the rules skip them.
    public var own: UInt32 { 1 << UInt32(shift) }
    /// On packets intercepted as a gateway.
    public var gateway: UInt32 { 2 << UInt32(shift) }
    /// On packets of this host that are intercepted.
    public var local: UInt32 { 3 << UInt32(shift) }
}

/// What one listener intercepts.
public struct Interception: Hashable, Sendable {
    public enum Transport: String, Hashable, Sendable, CaseIterable {
        case tcp, udp
    }

    /// The listener's name; it appears in the names of chains.
    public var name: String
    public var mode: InterceptionMode
    /// At least one; UDP only with `tproxy`.
    public var protocols: Set<Transport>
    /// Where the listener is bound. `[::]` serves both families, any other address its own.
    public var listen: [ListenAddress]
    /// Interfaces whose incoming traffic is intercepted; a trailing `*` matches any ending. Empty: no gateway scope.
    public var interfaces: [String]
    /// Whether what this host itself sends is intercepted.
    public var local: Bool
    /// Destination ports intercepted. Empty: all.
    public var ports: [ClosedRange<UInt16>]
    /// Only these networks. Empty: all of both families; networks of one family alone leave the other untouched.
    public var destinations: [IPNetwork]
    /// Never these networks.
    public var exclude: [IPNetwork]
    /// Only clients in these networks. Empty: all.
    public var clients: [IPNetwork]
    /// Whether upstreams see the client's address, so that their replies have to be caught on the way back.
    public var preservesSource: Bool

    public init(
        name: String, mode: InterceptionMode, protocols: Set<Transport> = [.tcp], listen: [ListenAddress],
        interfaces: [String] = [], local: Bool = false,
        ports: [ClosedRange<UInt16>] = [], destinations: [IPNetwork] = [], exclude: [IPNetwork] = [], clients: [IPNetwork] = [],
        preservesSource: Bool = false
    ) {
        self.name = name
        self.mode = mode
        self.protocols = protocols
        self.listen = listen
        self.interfaces = interfaces
        self.local = local
        self.ports = ports
        self.destinations = destinations
        self.exclude = exclude
        self.clients = clients
        self.preservesSource = preservesSource
    }
}

/// What happens to traffic that should be intercepted when no listener takes it.
public enum OnDown: String, Hashable, Sendable {
    /// It goes on its way as if there were no proxy.
    case direct
    /// New connections are refused with RST and datagrams with ICMP, also after this process was killed.
    case reject
}

/// The address families that get rules.
public struct Families: Hashable, Sendable {
    public var ipv4: Bool
    public var ipv6: Bool

    public init(ipv4: Bool = true, ipv6: Bool = true) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
    }
}

/// Everything that decides which rules are needed.
public struct FirewallSpec: Hashable, Sendable {
    /// Name of our nft table.
    public var table: String
    /// Priority of our filter chains as nft counts it: mangle is -150.
    public var priority: Int
    public var onDown: OnDown
    public var marks: Marks
    /// Number of the routing table that delivers marked packets to this host.
    public var routeTable: UInt32
    /// Preference of the first of our three `ip rule`s: 1…32763.
    public var preference: Int
    public var families: Families
    /// Whether this host forwards packets in either family.
    public var forwarding: Bool
    /// Empty only while draining, when open sessions alone are served.
    public var interceptions: [Interception]
    /// For sessions that began under earlier interceptions. UDP flows need nothing: without their interception they end.
    public var carried = SessionNeeds()
    /// On packets of our own sockets in place of `marks.own`: the rules skip these too. None may have other bits of the window.
    public var exitMarks: [UInt32] = []
    /// Ports of the UDP sockets that this host had before the rules: what goes out from them is not intercepted for ``earlierTime``.
    public var earlierPorts: [UInt16] = []
    /// Whether interception has ended, and only open sessions are served.
    private(set) var isDraining = false
    /// Somebody destroys the sockets that a killed proxy leaves behind, so that early demux can stay on.
    public var isSwept = false

    public init(
        table: String = "clearway", priority: Int = -150, onDown: OnDown = .direct, marks: Marks = Marks(shift: 24),
        routeTable: UInt32 = 7100, preference: Int = 1000, families: Families = Families(), forwarding: Bool = true,
        interceptions: [Interception]
    ) {
        self.table = table
        self.priority = priority
        self.onDown = onDown
        self.marks = marks
        self.routeTable = routeTable
        self.preference = preference
        self.families = families
        self.forwarding = forwarding
        self.interceptions = interceptions
    }
}

extension FirewallSpec {
    /// By then connection tracking knows every flow that is alive: this is how long it keeps one that was answered.
    static let earlierTime = Duration.seconds(180)

    /// What all sessions need that are open under these rules or will be.
    var needs: SessionNeeds { SessionNeeds(interceptions).adding(carried) }

    /// What UDP flows need.
    var datagramNeeds: SessionNeeds { SessionNeeds(interceptions, of: .udp) }

    /// Of both: what routes and the kernel's features are for.
    var allNeeds: SessionNeeds { needs.united(with: datagramNeeds) }

    /// Whether datagrams that this host itself sends are intercepted.
    var interceptsOwnDatagrams: Bool { datagramNeeds.local }

    /// The same without interception: sessions that are open go on.
    var draining: FirewallSpec {
        var spec = self
        spec.carried = needs
        spec.interceptions = []
        spec.earlierPorts = []
        spec.isDraining = true
        return spec
    }

    /// Whether packets that this host only forwards can meet sockets of ours that have foreign addresses. UDP leaves none behind.
    var leavesSocketsInTheWay: Bool { forwarding && needs.gateway }

    /// Whether TCP packets arriving on an interface get our mark: intercepted ones, or replies to a preserved source.
    var divertsGateway: Bool { needs.divertsGateway }

    /// Name of the table that refuses connections when we are gone.
    public var downTable: String { table + "_down" }
}

/// Why a specification has no rules that would do what it says.
public enum PlanError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A table name, or an interface name, that nft and `ip` would not take.
    case name(String)
    /// A redirected datagram does not tell where it was going.
    case redirectedDatagrams(listener: String)
    /// A redirected packet of another host cannot be delivered to a loopback address.
    case loopbackRedirect(listener: String, address: ListenAddress)
    /// `lo` is named as a gateway's interface.
    case loopbackInterface(listener: String)
    /// Local interception reads connection tracking, which begins at priority -200.
    case priority(Int)
    /// It would be taken for a packet that was intercepted.
    case exitMark(UInt32, window: UInt32)
    case nothingIntercepted

    public var description: String {
        switch self {
        case .name(let name): "\"\(name)\" is not a name for a table or an interface"
        case .loopbackRedirect(let listener, let address):
            "listener \(listener): a redirect cannot deliver other hosts' packets to \(address): "
                + "listen on a wildcard address such as [::]:\(address.value.port), or use mode \"tproxy\""
        case .redirectedDatagrams(let listener):
            "listener \(listener): a redirected datagram does not tell where it was going: use mode \"tproxy\" for UDP"
        case .loopbackInterface(let listener):
            "listener \(listener): \"lo\" carries no gateway traffic; set local = true to intercept this host's own traffic"
        case .priority(let priority):
            "priority \(priority) comes before connection tracking (-200), which local interception needs; use -199 or more"
        case .exitMark(let mark, let window):
            "the mark \(hex(mark)) of an exit has bits of \(hex(window)), which tell intercepted packets from others; "
                + "use another, or another firewall.mark"
        case .nothingIntercepted: "no listener intercepts anything"
        }
    }
}
