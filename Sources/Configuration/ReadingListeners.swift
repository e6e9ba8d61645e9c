internal import Policy
internal import TransparentSockets

extension Listener {
    static let keys = [
        "name", "mode", "listen", "protocols", "interfaces", "local", "ports", "destinations", "exclude", "clients",
        "preserve_source", "http", "on_other", "via", "origin", "policy", "check", "reach", "users", "filtering",
        "request_headers", "response_headers", "realm", "x_forwarded", "trusted",
        "auth_request", "icap",
    ]
    /// Keys that say what is intercepted.
    private static let interceptionKeys = [
        "interfaces", "local", "destinations", "exclude", "preserve_source", "http", "on_other",
    ]
    /// Keys that say what is served.
    private static let servingKeys = ["reach", "users", "origin", "policy", "check"]

    /// Keys that have no meaning in this mode.
    static func foreignKeys(_ mode: Mode) -> [String] { mode.intercepts ? servingKeys : interceptionKeys }

    /// Where it listens when it is not said.
    ///
    /// Clients that speak a proxy protocol come from this host, unless somebody wants others: a proxy that is open by mistake is found within hours.
    static func defaultAddresses(_ mode: Mode) -> [ListenAddress] {
        guard !mode.intercepts else { return Listener().listen }
        let port: UInt16 = mode == .http ? 3128 : 1080
        return ["127.0.0.1", "::1"].compactMap { IPAddress($0) }.map { ListenAddress(SocketAddress($0, port: port)) }
    }
    /// Each network is an element of an nft set; this many load within a second.
    static let networkLimit = 65_536
    static let portLimit = 4096
    static let interfaceLimit = 256
    static let addressLimit = 64
    static let listenerLimit = 256
}

extension Configuration {
    mutating func readListeners(
        _ node: Node, homes: [String: String], _ files: NamedFiles, _ scanners: ReadServices, _ collector: DiagnosticCollector
    ) {
        var nodes = [node]
        if case .array(let array) = node.content { nodes = array }
        guard !nodes.isEmpty else {
            collector.error(at: node.valueOffset, "listener: the list is empty, so nothing would be carried")
            return
        }
        guard nodes.count <= Listener.listenerLimit else {
            collector.error(at: node.keyOffset, "\(nodes.count) listeners; at most \(Listener.listenerLimit) are possible")
            return
        }
        listeners = []
        var names: [String: Int] = [:]
        var bound: [Bound] = []
        for node in nodes {
            guard case .table = node.content else {
                collector.error(at: node.valueOffset, "listener: expected a table, [[listener]], found \(node.kind)")
                continue
            }
            let section = Section(node, named: "[[listener]]", keys: Listener.keys, elsewhere: homes, collector)
            var positions = SourceMap.ListenerPositions(table: collector.position(node.keyOffset))
            let listener = section.listener(
                at: node.keyOffset, managed: firewall.manage, files, scanners, &positions, bound: &bound)
            claim(listener, section, at: node.keyOffset, &names)
            listeners.append(listener)
            self.positions.listeners.append(positions)
        }
    }

    private func claim(_ listener: Listener, _ section: Section, at table: Int, _ names: inout [String: Int]) {
        // Without a good address there is no port to make a name of.
        guard section.entries["name"] != nil || !listener.listen.isEmpty else { return }
        let offset = section.entries["name"]?.valueOffset ?? table
        guard let first = names[listener.name] else {
            names[listener.name] = offset
            return
        }
        let name = quoted(listener.name)
        let subject =
            section.entries["name"] == nil ? "two listeners would be called \(name), so name one" : "name: \(name) is taken"
        section.collector.error(at: offset, "\(subject): the first is at line \(section.collector.position(first).line)")
    }
}

extension Section {
    fileprivate func listener(
        at offset: Int, managed: Bool, _ files: NamedFiles, _ scanners: ReadServices,
        _ positions: inout SourceMap.ListenerPositions,
        bound: inout [Bound]
    ) -> Listener {
        var listener = Listener()
        listener.mode = choice("mode", of: Listener.Mode.self) ?? listener.mode
        for key in Listener.foreignKeys(listener.mode) {
            guard let node = entries[key] else { continue }
            let modes = Listener.Mode.allCases.filter { $0.intercepts != listener.mode.intercepts }.map(\.rawValue)
            collector.error(at: node.keyOffset, "\(key): only with mode = \(enumeration(modes.map { quoted($0) }))")
        }
        listener.local = boolean("local") ?? false
        readProtocols(&listener)
        listener.listen = Listener.defaultAddresses(listener.mode)

        let addresses = list(
            "listen", atMost: Listener.addressLimit, of: "an address and port such as \"[::]:1081\"", ValueSyntax.listenAddress)
        if let addresses {
            listener.listen = addresses.map(\.value)
            positions.listen = addresses.map { collector.position($0.offset) }
            requireEntries("listen", "no address to listen on")
        }
        for entry in addresses ?? listener.listen.map({ ($0, offset) }) {
            claim(Bound(address: entry.value, protocols: listener.protocols, offset: entry.offset, table: offset), &bound)
        }

        let port = listener.listen.first.map { "\($0.value.port)" } ?? ""
        // "+" belongs to no name.
        listener.name = "\(listener.mode.rawValue.split(separator: "+").joined(separator: "-"))-\(port)"
        if let (text, offset) = string("name") {
            listener.name = accept("name", offset) { () throws(Refusal) in try ValueSyntax.name(text) } ?? listener.name
        }
        if let interfaces = list(
            "interfaces", atMost: Listener.interfaceLimit, of: "the name of an interface", ValueSyntax.interface)
        {
            listener.interfaces = interfaces.map(\.value)
            positions.interfaces = interfaces.map { collector.position($0.offset) }
            var seen: Set<String> = []
            for (name, offset) in interfaces where !seen.insert(name).inserted {
                collector.error(at: offset, "interfaces: \(quoted(name)) is listed twice")
            }
        }
        if let ports = list("ports", atMost: Listener.portLimit, { ports($0, "ports") }) {
            let merged = ValueSyntax.merged(ports.map(\.value))
            if listener.mode.intercepts { listener.ports = merged } else { listener.servedPorts = merged }
            requireEntries("ports", "nothing would be \(listener.mode.intercepts ? "intercepted" : "served")")
        }
        listener.destinations = networks("destinations")
        listener.exclude = networks("exclude")
        listener.clients = networks("clients")
        listener.preserveSource = preserveSource()
        readHTTP(&listener, scanners)
        listener.reach = reach()
        if let (path, offset) = string("users") {
            listener.users = accept("users", offset) { () throws(Refusal) in try files.users(path) }
        }
        if listener.mode.intercepts {
            checkScope(listener, at: offset, managed: managed)
        } else {
            checkOpenness(listener, at: offset)
        }
        return listener
    }

    private func readHTTP(_ listener: inout Listener, _ scanners: ReadServices) {
        listener.http = boolean("http") ?? false
        listener.onOther = choice("on_other", of: Listener.OnOther.self) ?? listener.onOther
        listener.via = boolean("via") ?? true
        readOrigins(&listener)
        readFieldChanges(&listener)
        listener.authRequest = authRequest(listener)
        listener.icap = icap(listener, among: scanners)
        if listener.http, !listener.protocols.contains(.tcp), let node = entries["http"] {
            collector.error(at: node.keyOffset, "http: only with \"tcp\" in protocols")
        }
        if !listener.http, let node = entries["on_other"] { collector.error(at: node.keyOffset, "on_other: only with http = true") }
        if !listener.http, listener.mode != .http, listener.mode != .socksAndHTTP, let node = entries["via"] {
            collector.error(at: node.keyOffset, "via: only where HTTP is understood, with http = true")
        }
    }

    private func readOrigins(_ listener: inout Listener) {
        guard let node = entries["origin"] else {
            for key in ["policy", "check", "realm", "x_forwarded", "trusted"] {
                if let node = entries[key] { collector.error(at: node.keyOffset, "\(key): only with origin") }
            }
            return
        }
        guard listener.mode == .http else {
            if !listener.mode.intercepts { collector.error(at: node.keyOffset, "origin: only with mode = \"http\"") }
            return
        }
        let origins = list(
            "origin", atMost: Upstream.memberLimit, of: "a URL such as \"http://10.0.0.1:8080\"", ValueSyntax.origin)
        requireEntries("origin", "nobody would answer")
        for (index, origin) in (origins ?? []).enumerated() where origins![..<index].contains(where: { $0.value == origin.value }) {
            collector.error(at: origin.offset, "origin: it is there already")
        }
        listener.origins = (origins ?? []).map(\.value)
        listener.balancing = choice("policy", of: Upstream.Balancing.self) ?? listener.balancing
        listener.check = checkInterval() ?? (listener.origins.count > 1 ? Upstream.defaultCheck : .zero)
        listener.addsXForwarded = boolean("x_forwarded") ?? false
        listener.trusted = networks("trusted")
        if let (text, offset) = string("realm") {
            listener.realm = accept("realm", offset) { () throws(Refusal) in try ValueSyntax.realm(text) }
            if entries["users"] == nil { collector.error(at: offset, "realm: only with users") }
        }
        for key in ["reach", "ports"] {
            if let node = entries[key] {
                collector.error(at: node.keyOffset, "\(key): not with origin, where clients go nowhere else")
            }
        }
    }

    /// What is carried, and what that asks of the mode.
    private func readProtocols(_ listener: inout Listener) {
        if let protocols = list("protocols", atMost: 2, { choice($0, "protocols", of: TransportProtocol.self) }) {
            requireEntries("protocols", "nothing would be \(listener.mode.intercepts ? "intercepted" : "served")")
            if protocols.count > 1, protocols[0].value == protocols[1].value {
                collector.error(at: protocols[1].offset, "protocols: \(quoted(protocols[1].value.rawValue)) is listed twice")
            }
            // A wrong entry was reported already, and says nothing of the others.
            if !protocols.isEmpty { listener.protocols = Set(protocols.map(\.value)) }
            if let udp = protocols.first(where: { $0.value == .udp }) { checkDatagrams(listener, at: udp.offset) }
        }
        listener.filtering = choice("filtering", of: Listener.Filtering.self) ?? listener.filtering
        if let node = entries["filtering"], !listener.protocols.contains(.udp) {
            collector.error(at: node.keyOffset, "filtering: only with \"udp\" in protocols")
        }
    }

    private func checkDatagrams(_ listener: Listener, at offset: Int) {
        switch listener.mode {
        case .tproxy: return
        case .redirect:
            collector.error(
                at: offset,
                "protocols: \"udp\" needs mode = \"tproxy\": a redirected datagram does not tell where it was going")
        case .http: collector.error(at: offset, "protocols: \"udp\" needs SOCKS: HTTP CONNECT carries only TCP")
        case .socks, .socksAndHTTP:
            guard !listener.protocols.contains(.tcp) else { return }
            collector.error(at: offset, "protocols: \"udp\" needs \"tcp\" beside it: SOCKS clients ask for it over TCP")
        }
    }

    /// `"private"`, and networks.
    private func reach() -> Reach {
        var allowsPrivateUse = false
        let networks = list("reach", atMost: Listener.networkLimit, of: "\"private\" or a network such as \"203.0.113.0/24\"") {
            text throws(Refusal) -> IPNetwork? in
            guard text == "private" else { return try ValueSyntax.network(text) }
            allowsPrivateUse = true
            return nil
        }
        return Reach(allowsPrivateUse: allowsPrivateUse, allowedNetworks: (networks ?? []).compactMap(\.value))
    }

    /// A proxy that anybody may use is used by everybody.
    private func checkOpenness(_ listener: Listener, at offset: Int) {
        guard entries["origin"] == nil else { return }
        requireEntries("clients", "nobody would be served")
        guard listener.clients.isEmpty, entries["clients"] == nil, entries["users"] == nil else { return }
        guard let open = listener.listen.first(where: { !$0.value.address.isLoopback }) else { return }
        collector.error(
            at: entries["listen"]?.valueOffset ?? offset,
            "this listener would serve anybody who reaches \"\(open)\": say whom with clients = [\"…\"] or users = \"…\", or listen on loopback"
        )
    }

    func requireEntries(_ key: String, _ consequence: String) {
        guard let node = entries[key], case .array(let elements) = node.content, elements.isEmpty else { return }
        collector.error(at: node.valueOffset, "\(key): the list is empty, so \(consequence)")
    }

    func ports(_ node: Node, _ key: String) -> ClosedRange<UInt16>? {
        accept(key, node.valueOffset) { () throws(Refusal) in
            switch node.content {
            case .integer(let number):
                let port = try ValueSyntax.port(number, as: "\(number)")
                return port...port
            case .string(let text): return try ValueSyntax.ports(text)
            default: throw Refusal("expected a port or a range such as \"8000-8999\", found \(node.kind)")
            }
        }
    }

    private func networks(_ key: String) -> [IPNetwork] {
        (list(key, atMost: Listener.networkLimit, of: "a network such as \"203.0.113.0/24\"", ValueSyntax.network) ?? []).map(
            \.value)
    }

    private func preserveSource() -> Listener.PreserveSource {
        guard let node = entries["preserve_source"] else { return .off }
        switch node.content {
        case .boolean(false): return .off
        case .string("address"): return .address
        case .string("address+port"): return .addressAndPort
        case .string(let text):
            let hint = suggestion(for: text, among: ["address", "address+port"])
            collector.error(
                at: node.valueOffset,
                "preserve_source: expected false, \"address\" or \"address+port\", found \(quoted(text))\(hint)")
        default: mismatch(node, "preserve_source", expected: "false, \"address\" or \"address+port\"")
        }
        return .off
    }

    /// What each value says is fine, but together they cannot be meant. A key that is wrong in itself was reported already.
    private func checkScope(_ listener: Listener, at offset: Int, managed: Bool) {
        let isGateway = entries["interfaces"].map { if case .array(let list) = $0.content { !list.isEmpty } else { true } } ?? false
        if managed, !isGateway, !listener.local,
            entries["local"].map({ if case .boolean = $0.content { true } else { false } }) ?? true
        {
            collector.error(
                at: offset,
                "this listener intercepts nothing: set interfaces = [\"…\"] for what arrives there, or local = true for this host's own"
            )
        }
    }

    /// Two listeners on one address would share its connections at random.
    private func claim(_ new: Bound, _ bound: inout [Bound]) {
        let first = bound.first {
            overlaps($0.address.value, new.address.value) && !$0.protocols.isDisjoint(with: new.protocols)
        }
        if let first {
            let line = collector.position(first.offset).line
            let relation = first.address == new.address ? "is taken" : "overlaps with \"\(first.address)\""
            var hint = ""
            // Within one listener, one of the two is just too many.
            if first.table != new.table, let other = freeAddress(besides: new.address, bound) {
                hint = "; give this one a port of its own, such as listen = \"\(other)\""
            }
            collector.error(at: new.offset, "listen: \"\(new.address)\" \(relation): the first is at line \(line)\(hint)")
        } else {
            bound.append(new)
        }
    }

    /// The same with the next port that no listener so far has.
    private func freeAddress(besides address: ListenAddress, _ bound: [Bound]) -> ListenAddress? {
        let taken = Set(bound.map(\.address.value.port))
        guard address.value.port < .max else { return nil }
        let port = (address.value.port + 1...UInt16.max).first { !taken.contains($0) }
        return port.map { ListenAddress(SocketAddress(address.value.address, port: $0)) }
    }

    private func overlaps(_ left: SocketAddress, _ right: SocketAddress) -> Bool {
        guard left.port == right.port else { return false }
        func covers(_ wide: IPAddress, _ narrow: IPAddress) -> Bool { wide.isUnspecified && (wide.isIPv6 || !narrow.isIPv6) }
        return left.address == right.address || covers(left.address, right.address) || covers(right.address, left.address)
    }
}

/// An address that a listener of the file has taken.
private struct Bound {
    var address: ListenAddress
    var protocols: Set<TransportProtocol>
    var offset: Int
    /// Where its listener begins.
    var table: Int
}
