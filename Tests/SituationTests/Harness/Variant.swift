import Testing

enum Mover: String, CaseIterable {
    /// No proxy at all: plain routing. When this fails, the environment is broken and not Clearway.
    case direct
    case copy
    case splice
}

enum Family: String, CaseIterable {
    case v4
    case v6

    var client: String { self == .v4 ? "192.0.2.2" : "2001:db8:1::2" }
    var routerTowardsClient: String { self == .v4 ? "192.0.2.1" : "2001:db8:1::1" }
    var routerTowardsServer: String { self == .v4 ? "198.51.100.1" : "2001:db8:2::1" }
    var server: String { self == .v4 ? "198.51.100.2" : "2001:db8:2::2" }
    /// A destination of which the server says that it cannot be reached.
    var unreachable: String { self == .v4 ? "203.0.113.1" : "2001:db8:ff:1::1" }
    /// A destination that swallows everything.
    var blackhole: String { self == .v4 ? "203.0.113.129" : "2001:db8:ff:2::1" }
    /// Every address of the family, to listen on.
    var wildcard: String { self == .v4 ? "0.0.0.0" : "::" }
}

enum Mode: String, CaseIterable {
    case tproxy
    case redirect
}

/// Whose connections are intercepted.
enum Scope: String, CaseIterable {
    /// Those of the client behind the router.
    case gateway
    /// Those that the router itself makes.
    case local
}

enum PreservedSource: String, CaseIterable {
    case off
    case address
    case addressAndPort = "address+port"

    var toml: String { self == .off ? "false" : "\"\(rawValue)\"" }
}

/// One way of running a situation.
struct Variant: CustomTestStringConvertible {
    var mover = Mover.copy
    var family = Family.v4
    var mode = Mode.tproxy
    var scope = Scope.gateway
    var preserved = PreservedSource.off

    var testDescription: String {
        mover == .direct
            ? "direct \(family) \(scope)"
            : "\(mover) \(family) \(mode) \(scope)\(preserved == .off ? "" : " preserving \(preserved.rawValue)")"
    }

    /// The address from which connections are made in this scope.
    var source: String { scope == .gateway ? family.client : family.routerTowardsServer }

    /// The address that the server must see.
    var sourceSeenByServer: String {
        mover == .direct || preserved != .off ? source : family.routerTowardsServer
    }

    /// Everything crossed with everything.
    static let every: [Variant] =
        direct
        + Mover.proxied.flatMap { mover in
            Family.allCases.flatMap { family in
                Mode.allCases.flatMap { mode in
                    Scope.allCases.flatMap { scope in
                        PreservedSource.allCases.map {
                            Variant(mover: mover, family: family, mode: mode, scope: scope, preserved: $0)
                        }
                    }
                }
            }
        }

    static let direct = Family.allCases.flatMap { family in
        Scope.allCases.map { Variant(mover: .direct, family: family, scope: $0) }
    }

    /// Each mover once, each family, mode and scope at least once.
    static let representative = [
        Variant(mover: .direct), Variant(mover: .direct, family: .v6), Variant(mover: .copy), Variant(mover: .splice),
        Variant(mover: .splice, family: .v6, mode: .redirect), Variant(mover: .copy, family: .v6, scope: .local),
        Variant(mover: .copy, mode: .redirect, scope: .local),
    ]

    /// Each mover once.
    static let movers = Mover.allCases.map { Variant(mover: $0) }

    /// Each mover with a proxy.
    static let proxied = Mover.proxied.map { Variant(mover: $0) }
}

extension Mover {
    static let proxied: [Mover] = [.copy, .splice]
}
