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
    /// The listener's name; it appears in the names of chains.
    public var name: String
    public var mode: InterceptionMode
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
        name: String, mode: InterceptionMode, listen: [ListenAddress], interfaces: [String] = [], local: Bool = false,
        ports: [ClosedRange<UInt16>] = [], destinations: [IPNetwork] = [], exclude: [IPNetwork] = [], clients: [IPNetwork] = [],
        preservesSource: Bool = false
    ) {
        self.name = name
        self.mode = mode
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
    /// New connections are refused with RST, also after this process was killed.
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
    /// For sessions that began under earlier interceptions.
    public var carried = SessionNeeds()
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

/// Why a specification has no rules that would do what it says.
public enum PlanError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A table name, or an interface name, that nft and `ip` would not take.
    case name(String)
    /// A redirected packet of another host cannot be delivered to a loopback address.
    case loopbackRedirect(listener: String, address: ListenAddress)
    /// `lo` is named as a gateway's interface.
    case loopbackInterface(listener: String)
    /// Local interception reads connection tracking, which begins at priority -200.
    case priority(Int)
    case nothingIntercepted

    public var description: String {
        switch self {
        case .name(let name): "\"\(name)\" is not a name for a table or an interface"
        case .loopbackRedirect(let listener, let address):
            "listener \(listener): a redirect cannot deliver other hosts' packets to \(address): "
                + "listen on a wildcard address such as [::]:\(address.value.port), or use mode \"tproxy\""
        case .loopbackInterface(let listener):
            "listener \(listener): \"lo\" carries no gateway traffic; set local = true to intercept this host's own traffic"
        case .priority(let priority):
            "priority \(priority) comes before connection tracking (-200), which local interception needs; use -199 or more"
        case .nothingIntercepted: "no listener intercepts anything"
        }
    }
}
